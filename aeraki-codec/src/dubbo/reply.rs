//! Answers by the proxy: a status and a text, which clients raise as the exception of that status.
//!
//! The text begins with the name of the reason: there are more reasons than statuses that fit, and another proxy of
//! this kind tells them apart by it.

use super::{
    attributes::Notes,
    wire::{header, response, status},
};
use crate::{Answer, LocalReply, Message, Output, Reason, Receipt, Refusal, hessian2::write};

/// Answers a request of any serialization that this crate can write, which is Hessian2.
pub(super) fn write(to: &Receipt, reply: &LocalReply, coarse: bool, out: &mut Output) -> Answer {
    if !to.wants_answer() {
        return Answer::Written;
    }
    if Notes::from_numbers(to.notes()).serialization != header::HESSIAN2 {
        return Answer::Close;
    }
    let mark = out.mark();
    out.put(&header::encode(header::HESSIAN2, status_of(reply, coarse), to.id().number(), 0));
    write::string(out, truncated(&reply.to_string()));
    let len = out.len_since(mark).saturating_sub(header::LENGTH_OFFSET).saturating_sub(4);
    let len = u32::try_from(len).unwrap_or_default().to_be_bytes();
    if let Some(place) = out.copied_since(mark).get_mut(header::LENGTH_OFFSET..).and_then(|rest| rest.get_mut(..4)) {
        place.copy_from_slice(&len);
    }
    Answer::Written
}

/// The status that makes a client raise the exception which fits best: 31 its timeout exception, the others its
/// remoting exception with our text.
///
/// A status that is asked for is taken if it says that the call failed.
fn status_of(reply: &LocalReply, coarse: bool) -> u8 {
    let asked = reply.status().and_then(failure);
    asked.unwrap_or_else(|| if coarse { coarse_status_of(reply.reason()) } else { status_of_reason(reply.reason()) })
}

/// Returns what stands for a status in an answer; none where it says that the call succeeded, or is too large.
pub(super) fn failure(status: u32) -> Option<u8> {
    u8::try_from(status).ok().filter(|status| *status != status::OK)
}

/// The statuses that upstream's documents promise.
const fn coarse_status_of(reason: Reason) -> u8 {
    match reason {
        Reason::RouteNotFound | Reason::ClusterNotFound => status::SERVICE_NOT_FOUND,
        Reason::BadResponse => status::BAD_RESPONSE,
        _ => status::SERVER_ERROR,
    }
}

const fn status_of_reason(reason: Reason) -> u8 {
    match reason {
        Reason::RouteNotFound | Reason::ClusterNotFound => status::SERVICE_NOT_FOUND,
        Reason::Overflow | Reason::OverLimit | Reason::Shed => status::THREADPOOL_EXHAUSTED,
        Reason::Timeout => status::SERVER_TIMEOUT,
        Reason::Denied | Reason::Fault => status::SERVICE_ERROR,
        Reason::BadRequest => status::BAD_REQUEST,
        Reason::BadResponse => status::BAD_RESPONSE,
        Reason::NoHealthyUpstream | Reason::ConnectFailure | Reason::UpstreamClosed | Reason::Unspecified => {
            status::SERVER_ERROR
        }
    }
}

/// Reads from an answer whether the request was not taken, and whether that was a limit of a proxy like this one.
pub(super) fn refusal(answer: &Message) -> Option<Refusal> {
    if answer.status().code() != i32::from(status::THREADPOOL_EXHAUSTED) {
        return None;
    }
    let read = response(answer.frame()).ok();
    let text = read.as_ref().and_then(|read| read.error_message()?.to_str()).unwrap_or_default();
    let limited = text.split_once(": ").is_some_and(|(name, _)| LIMITS.iter().any(|limit| limit.as_str() == name));
    Some(if limited { Refusal::OverLimit } else { Refusal::Busy })
}

/// Keeps a text to what belongs into an exception.
fn truncated(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_CHARACTERS).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

const MAX_CHARACTERS: usize = 1024;
/// Reasons that share the status of a full thread pool and are meant to keep requests out, wherever they go.
const LIMITS: [Reason; 2] = [Reason::OverLimit, Reason::Shed];
