//! One try at one node in a protocol beside HTTP: the call, and its answer as a response.

use std::{future::poll_fn, task::Poll};

use super::{
    Client, Node, Try,
    mux::{Failed, Ticket},
    send::stays_here,
};
use crate::{
    clock,
    codec::{Answer, Broken},
    error::{Error, Kind},
    exchange::{Asked, Body, Exchange},
    http1,
};

impl From<Failed> for Try {
    fn from(failed: Failed) -> Self {
        Self { error: failed.error, sent: failed.sent, reused: false }
    }
}

impl Client {
    /// Puts the call `asked` to `node`; the head of what it makes of the answer goes into
    /// `x.response`, its body is returned.
    ///
    /// # Errors
    ///
    /// See [`Try`].
    pub async fn call(
        &self,
        x: &mut Exchange,
        node: &Node,
        asked: &Asked,
    ) -> std::result::Result<Body, Try> {
        let mut ticket = self.mux.begin(node, asked.framing, &*asked.call, x.now)?;
        if let Some(attempt) = x.upstream.attempts.last_mut() {
            attempt.bytes.0 += ticket.bytes();
        }
        let got = wait(x, &mut ticket, asked.timeout.unwrap_or(node.read_timeout)).await;
        x.now = clock::now();
        if let Some(attempt) = x.upstream.attempts.last_mut() {
            let connected = ticket.connected();
            attempt.connect_time =
                connected.map(|at| at.saturating_duration_since(attempt.started));
        }
        let frame = match got {
            Waited::Ready(got) => got?,
            Waited::TimedOut(within) => return Err(ticket.time_out(within, x.now).into()),
            Waited::ClientGone => {
                return Err(Try { error: Kind::ClientGone.into(), sent: true, reused: false });
            }
        };
        if let Some(attempt) = x.upstream.attempts.last_mut() {
            attempt.header_time = Some(x.now.duration_since(attempt.started));
            attempt.bytes.1 += frame.as_ref().map_or(0, bytes::Bytes::len) as u64;
        }
        let answer = asked.call.answer(frame.as_deref()).and_then(check);
        match answer {
            Ok(answer) => Ok(respond(x, answer)),
            Err(why) => {
                let here = "an answer that cannot be read";
                let kind = Kind::BadAnswer { node: node.addr.to_string(), why: here };
                Err(Try { error: Error::from(kind).because(why.0), sent: true, reused: false })
            }
        }
    }
}

/// How the wait for an answer ended.
enum Waited {
    Ready(std::result::Result<Option<bytes::Bytes>, Failed>),
    TimedOut(std::time::Duration),
    ClientGone,
}

async fn wait(x: &mut Exchange, ticket: &mut Ticket, within: std::time::Duration) -> Waited {
    let mut deadline = std::mem::take(&mut x.upstream.timer);
    deadline.set_from(x.now, within);
    let waited = poll_fn(|cx| {
        if let Poll::Ready(got) = ticket.poll(cx) {
            return Poll::Ready(Waited::Ready(got));
        }
        if x.peer_is_gone(cx) {
            return Poll::Ready(Waited::ClientGone);
        }
        deadline.poll(cx).map(|()| Waited::TimedOut(within))
    })
    .await;
    x.upstream.timer = deadline;
    waited
}

/// A status that is a final one.
fn check(answer: Answer) -> std::result::Result<Answer, Broken> {
    if (200..=599).contains(&answer.status) {
        return Ok(answer);
    }
    Err(Broken(format!("status {}", answer.status)))
}

/// Makes the response of what the protocol made of an answer.
fn respond(x: &mut Exchange, answer: Answer) -> Body {
    if let Some(attempt) = x.upstream.attempts.last_mut() {
        attempt.status = answer.status;
    }
    x.response.status = answer.status;
    x.response.length = Some(answer.body.len() as u64);
    // What plugins set before the answer came stands over what the upstream says.
    let preset = x.response.fields.len();
    for (name, value) in answer.headers {
        let stands = name.eq_ignore_ascii_case("set-cookie")
            || !x
                .response
                .fields
                .iter()
                .take(preset)
                .any(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        if stands && !stays_here(name.as_bytes()) && !http1::is_hop_by_hop(name.as_bytes()) {
            // One that is no field, or one too many, is left out: the rest is worth having.
            let _ = x.response.fields.add(&name, value);
        }
    }
    Body::Full(answer.body.into())
}
