//! What a run was, as a hash over all that happened in it, and as a line for each effect.

use std::cell::RefCell;
use std::rc::Rc;

use super::Show;
use super::queue::Moment;
use crate::diagram::{Arrow, Diagram, Point};
use crate::model::step::Input;
use crate::types::{Hash, PeerId, node_name};

/// What has happened in a run so far. It outlives the world, so that what led to a panic can be shown.
#[derive(Clone, Default)]
pub(super) struct Trace {
    recorder: Rc<RefCell<Recorder>>,
    /// The same as a picture, if it is wanted.
    diagram: Option<Rc<RefCell<Diagram>>>,
}

#[derive(Default)]
struct Recorder {
    hasher: blake3::Hasher,
    /// Absent unless lines are wanted.
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Nothing has happened yet.
    pub(crate) fn new(show: Show) -> Trace {
        let lines = show.lines.then(Vec::new);
        let recorder = Rc::new(RefCell::new(Recorder { lines, ..Recorder::default() }));
        Trace { recorder, diagram: show.diagram.then(Rc::default) }
    }

    /// Something happened at a node: `what` in a word, the number of its stream or call, its bytes, and how it reads.
    pub(crate) fn note(
        &self,
        at: Moment,
        node: PeerId,
        what: &str,
        number: u64,
        bytes: &[u8],
        text: impl FnOnce() -> String,
    ) {
        let mut recorder = self.recorder.borrow_mut();
        let head =
            [&at.0.to_le_bytes()[..], &node.0.to_le_bytes(), &number.to_le_bytes(), what.as_bytes()].concat();
        recorder.hasher.update(&(head.len() as u64).to_le_bytes()).update(&head);
        recorder.hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        if let Some(lines) = &mut recorder.lines {
            lines.push(format!("{at} {:<9} {}", node_name(node), text()));
        }
    }

    /// A message, or what stands for one, has arrived.
    pub(crate) fn arrow(&self, from: (PeerId, Moment), to: (PeerId, Moment), input: &Input) {
        if let Some(diagram) = &self.diagram {
            let ((from, sent), (to, came)) = (from, to);
            let (sent, came, text) = (Some(sent.0), Some(came.0), input.said());
            diagram.borrow_mut().arrow(|| Arrow { from, to, sent, came, text });
        }
    }

    /// Something happened at a node, apart from messages.
    pub(crate) fn point(&self, node: PeerId, at: Moment, point: Point, text: impl FnOnce() -> String) {
        if let Some(diagram) = &self.diagram {
            diagram.borrow_mut().point(node, at.0, point, text);
        }
    }

    /// The hash over all that was noted.
    pub(crate) fn hash(&self) -> Hash {
        Hash(*self.recorder.borrow().hasher.finalize().as_bytes())
    }

    /// The diagram, if it was wanted.
    pub(crate) fn svg(&self, title: &str) -> Option<String> {
        self.diagram.as_ref().map(|diagram| diagram.borrow().svg(title, 0))
    }

    /// Takes the lines.
    pub(crate) fn take_lines(&self) -> Vec<String> {
        self.recorder.borrow_mut().lines.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_place_word_and_content_are_in_the_hash() {
        let hash = |at, node, what, bytes: &[u8]| {
            let trace = Trace::new(Show::default());
            trace.note(Moment(at), PeerId(node), what, 0, bytes, String::new);
            trace.hash()
        };
        let one = hash(1, 2, "send", b"ab");
        assert_eq!(one, hash(1, 2, "send", b"ab"));
        for other in [
            hash(2, 2, "send", b"ab"),
            hash(1, 3, "send", b"ab"),
            hash(1, 2, "sen", b"dab"),
            hash(1, 2, "send", b"a"),
        ] {
            assert_ne!(one, other);
        }
    }
}
