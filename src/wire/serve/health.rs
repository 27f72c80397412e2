//! The standard health service, with the node's own account of itself: what `status` shows is what a prober hears.

use std::pin::Pin;
use std::time::Duration;

use tokio_stream::{Stream as Flow, StreamExt as _};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::inbox::Inbox;
use super::places::Caller;
use crate::limits::HEALTH_LOOK_EVERY;
use crate::model::call::{Answer, Ask};

/// See the module's text. Each service of the node is as healthy as the node.
pub(super) struct Health(pub(super) Inbox);

impl Health {
    async fn look(inbox: &Inbox) -> ServingStatus {
        match inbox.ask(Ask::Status).await {
            Ok(Answer::Status(report)) if report.health == "ok" => ServingStatus::Serving,
            _ => ServingStatus::NotServing,
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status as i32 }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = Pin<Box<dyn Flow<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Caller::of(request.extensions()).spoke();
        Ok(Response::new(response(Health::look(&self.0).await)))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Caller::of(request.extensions()).spoke();
        let inbox = self.0.clone();
        let looks =
            tokio_stream::iter(std::iter::once(Duration::ZERO).chain(std::iter::repeat(HEALTH_LOOK_EVERY)));
        let looks = looks.then(move |wait| {
            let inbox = inbox.clone();
            async move {
                tokio::time::sleep(wait).await;
                Health::look(&inbox).await
            }
        });
        let mut last = None;
        let changes = looks.filter(move |status| last.replace(*status) != Some(*status));
        Ok(Response::new(Box::pin(changes.map(|status| Ok(response(status))))))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tonic_health::pb::health_server::Health as _;

    use super::*;
    use crate::model::report::Report;
    use crate::model::step::Numbers;
    use crate::wire::arrival::Arrival;

    /// A node that tells these accounts of its health, one after the other, and then is gone.
    fn node(accounts: &'static [&'static str]) -> Health {
        let (arrivals, mut inbox) = mpsc::channel(1);
        tokio::spawn(async move {
            for health in accounts {
                if let Some(Arrival::Asked(Ask::Status, reply)) = inbox.recv().await {
                    let report = Report { health: (*health).to_owned(), ..Report::default() };
                    let _ = reply.send(Ok(Answer::Status(Box::new(report))));
                }
            }
        });
        Health(Inbox::new(arrivals, Numbers::default()))
    }

    fn ask() -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest::default())
    }

    #[tokio::test]
    async fn a_prober_hears_what_status_shows() {
        let node = node(&["ok", "no secondary in office"]);
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.push(node.check(ask()).await.unwrap().into_inner().status());
        }
        assert_eq!(heard, [ServingStatus::Serving, ServingStatus::NotServing, ServingStatus::NotServing]);
    }

    #[tokio::test]
    async fn who_watches_hears_of_changes_only() {
        let changes = node(&["ok", "ok", "no trader in office"]);
        let changes = changes.watch(ask()).await.unwrap().into_inner().take(2);
        let heard: Vec<_> = changes.map(|change| change.unwrap().status()).collect().await;
        assert_eq!(heard, [ServingStatus::Serving, ServingStatus::NotServing]);
    }
}
