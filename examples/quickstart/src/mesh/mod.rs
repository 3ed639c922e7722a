//! The mesh itself: a control plane on a folder of YAML, and a data plane that subscribes to it.

mod control;
mod data;
mod limiter;

use tokio::sync::mpsc;

pub(crate) use self::{
    control::ControlPlane,
    data::{DataPlane, NODE, Port},
};

/// Takes what is worth telling a person.
pub(crate) type Messages = mpsc::UnboundedSender<String>;

fn say(messages: &Messages, message: String) {
    // nobody listens any more once the program ends
    let _ = messages.send(message);
}
