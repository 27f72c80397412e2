//! The page in Debian's chromium, through its driver. Where they are missing the test says that it was skipped, and fails
//! where `CI` is set.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use axum::http::Method;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use url::{ParseError, Url};

use super::{BUSY, Market, SHOWN, block_on, get, node, page_of, turn};

/// The driver, on a port of its own.
struct Driver {
    process: Child,
    addr: String,
}

impl Driver {
    /// None: it is not installed.
    fn start() -> Option<Driver> {
        let mut command = Command::new("chromedriver");
        let started = command.arg("--port=0").process_group(0).stdout(Stdio::piped()).spawn();
        let Ok(mut process) = started else {
            assert!(
                std::env::var_os("CI").is_none(),
                "chromedriver is not installed: the page cannot be tested"
            );
            eprintln!("SKIPPED browser: chromedriver is not installed");
            return None;
        };
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            line.split_once("successfully on port ").map(|(_, rest)| rest.trim_end_matches('.').to_owned())
        });
        // What else it says is read, so that it does not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Driver { process, addr: format!("http://127.0.0.1:{}", port.unwrap()) })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Its browser is in its group, and would outlive it after a panic.
        kill_process_group(Pid::from_raw(self.process.id() as i32).unwrap(), Signal::KILL).unwrap();
        self.process.wait().unwrap();
    }
}

/// What the console says: a command of chromium's driver alone.
#[derive(Debug)]
struct Console;

impl WebDriverCompatibleCommand for Console {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

async fn browser(driver: &Driver) -> Client {
    // A container's /dev/shm is too small for a browser.
    let room = "--disable-dev-shm-usage";
    let args = ["--headless=new", "--no-sandbox", "--disable-gpu", room, "--window-size=1400,1000"];
    let options = json!({ "args": args });
    let capabilities = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
    let Value::Object(capabilities) = capabilities else { unreachable!() };
    ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&driver.addr).await.unwrap()
}

/// Waits until the script gives something true, and gives that.
async fn shown(client: &Client, script: &str) -> Value {
    let began = Instant::now();
    loop {
        let value = client.execute(&format!("return {script}"), Vec::new()).await.unwrap();
        if !matches!(value, Value::Null | Value::Bool(false)) {
            return value;
        }
        assert!(began.elapsed() < SHOWN, "not within {SHOWN:?}: {script}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn press(client: &Client, keys: &[Key]) {
    let keys = keys.iter().fold(KeyActions::new("keys".to_owned()), |actions, key| {
        let value = char::from(*key);
        actions.then(KeyAction::Down { value }).then(KeyAction::Up { value })
    });
    client.perform_actions(keys).await.unwrap();
}

/// The keys of the page's own shortcuts are letters.
async fn letter(client: &Client, value: char) {
    let keys = KeyActions::new("keys".to_owned());
    client.perform_actions(keys.then(KeyAction::Down { value }).then(KeyAction::Up { value })).await.unwrap();
}

/// Where the page has asked for the past, the last time.
const ASKED: &str =
    "performance.getEntriesByType('resource').map(it => it.name).filter(it => it.includes('/at?')).at(-1)";
/// Ids of a queue's orders, in its order.
const QUEUE: &str =
    "[...document.querySelectorAll('#queue-primary li[data-order]')].map(li => li.dataset.order)";

#[test]
fn a_trader_is_killed_in_a_browser_and_the_past_is_seen() {
    let _turn = turn();
    let Some(driver) = Driver::start() else { return };
    let market = Market::new();
    let up = market.start_telling(&BUSY);
    up.wait_for_pair();
    let (addr, token) = page_of(&market, &up);
    block_on(async {
        let client = browser(&driver).await;
        client.goto(&format!("http://{addr}/#{token}")).await.unwrap();
        shown(&client, "document.querySelector('#ring [data-office=primary]') !== null").await;
        shown(&client, "document.querySelector('#lights [data-light=ok]') !== null").await;
        shown(&client, "document.querySelector('#charts-load svg polyline') !== null").await;
        let trader =
            shown(&client, "document.querySelector('#ring [data-office=primary]').dataset.node").await;
        let trader = trader.as_str().unwrap();

        // By keys alone: over the link that skips to the content into the ring, to the trader, and to its button.
        press(&client, &[Key::Tab, Key::Enter, Key::Tab]).await;
        let chosen = format!("document.querySelector('#node-title').textContent === '{trader}'");
        for _ in 0..12 {
            if client.execute(&format!("return {chosen}"), Vec::new()).await.unwrap() == true {
                break;
            }
            press(&client, &[Key::Right]).await;
        }
        shown(&client, &chosen).await;
        for _ in 0..20 {
            press(&client, &[Key::Tab]).await;
            if client.execute("return document.activeElement.id", Vec::new()).await.unwrap() == "act-kill" {
                break;
            }
        }
        press(&client, &[Key::Enter]).await;
        shown(&client, "/was killed/.test(document.querySelector('#act-result').textContent)").await;
        shown(
            &client,
            &format!("document.querySelector('#ring [data-node={trader}][data-state=dead]') !== null"),
        )
        .await;
        shown(&client, "!document.querySelector('#failover-card').hidden").await;
        let card = client.find(Locator::Css("#failover-card")).await.unwrap().text().await.unwrap();
        assert!(card.contains(trader) && card.contains("took over"), "{card}");

        // Back to when it was killed: the stores say what it had queued.
        client.execute("document.activeElement.blur()", Vec::new()).await.unwrap();
        letter(&client, ' ').await;
        shown(&client, "document.body.dataset.mode === 'past'").await;
        letter(&client, 'p').await;
        shown(&client, "Number(document.body.dataset.seen) > 0").await;
        let back = format!(
            "[...document.querySelectorAll('#ring [data-node={trader}]')].some(it => it.dataset.office === 'primary')"
        );
        for _ in 0..12 {
            if client.execute(&format!("return {back}"), Vec::new()).await.unwrap() == true {
                break;
            }
            let before = shown(&client, ASKED).await;
            client.find(Locator::Css("#step-back")).await.unwrap().click().await.unwrap();
            shown(&client, &format!("{ASKED} !== {before}")).await;
        }
        shown(&client, &back).await;
        let began = Instant::now();
        loop {
            let asked = shown(&client, ASKED).await;
            let path = asked.as_str().unwrap().split_once(&addr).unwrap().1.to_owned();
            let state: Value = serde_json::from_str(&get(&addr, &path).body).unwrap();
            let of = node(&state, trader)["queue"].as_array().unwrap();
            let told: Vec<&Value> = of.iter().map(|it| &it["order"]).collect();
            let queue = shown(&client, QUEUE).await;
            if queue == json!(told) {
                break;
            }
            assert!(began.elapsed() < SHOWN, "{queue} is shown, and was {told:?}");
        }
        letter(&client, 'l').await;
        shown(&client, "document.body.dataset.mode === 'live'").await;

        // The time line stands over the page's end, and the driver would click on it.
        let centre = "document.querySelector('#diagram-draw').scrollIntoView({ block: 'center' })";
        client.execute(centre, Vec::new()).await.unwrap();
        client.find(Locator::Css("#diagram-draw")).await.unwrap().click().await.unwrap();
        shown(&client, "document.querySelectorAll('#diagram svg line').length > 10").await;
        let console = client.issue_cmd(Console).await.unwrap();
        let bad: Vec<&Value> =
            console.as_array().unwrap().iter().filter(|it| it["level"] != "INFO").collect();
        assert!(bad.is_empty(), "{bad:?}");
        client.set_window_size(360, 800).await.unwrap();
        shown(&client, "document.documentElement.scrollWidth <= window.innerWidth").await;
        client.close().await.unwrap();
    });
    up.interrupt().expect(0);
    market.verify();
}
