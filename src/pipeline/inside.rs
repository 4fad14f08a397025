//! Requests that Lua makes inside of others: the same way as a client's, but the response stays
//! in memory, and nothing is logged.

use std::{
    future::Future,
    pin::Pin,
    rc::{Rc, Weak},
};

use bytes::Bytes;

use super::{Made, Sink, content, respond};
use crate::{
    error::Result,
    exchange::{Body, Exchange, Inside, Told},
    fields::Fields,
    gate::Gate,
};

/// Answers from a worker's own gate.
#[derive(Debug)]
pub struct Asked(Weak<Gate>);

impl Asked {
    /// Answers from `gate`, as long as it is there.
    #[must_use]
    pub fn new(gate: &Rc<Gate>) -> Self {
        Self(Rc::downgrade(gate))
    }
}

impl Inside for Asked {
    fn ask(&self, mut x: Box<Exchange>, bytes_max: usize) -> Pin<Box<dyn Future<Output = Told>>> {
        let gate = Weak::clone(&self.0);
        Box::pin(async move {
            let mut kept = Kept { body: Vec::new(), bytes_max, truncated: false };
            let Some(gate) = gate.upgrade() else {
                x.response.status = 500;
                return Told { x, body: Vec::new(), truncated: true };
            };
            let body = match content::answer(&gate, &mut x).await {
                Ok(Made::Body(body)) => Some(body),
                // Nobody is there to speak another protocol.
                Ok(Made::Tunnel(_)) => None,
                Err(error) => {
                    x.inner.get_or_insert_default().page = true;
                    Some(super::rescue(&mut x, &error))
                }
            };
            match body {
                Some(body) => {
                    // As nginx has it: a page is for clients, and what is inside sees none.
                    let page = x.inner.as_ref().is_some_and(|inner| inner.page);
                    let body = if page { Body::Empty } else { body };
                    let sent = respond::send(&gate, &mut x, body, &mut kept).await;
                    kept.truncated |= sent.is_err() || page;
                }
                None => x.response.status = 502,
            }
            Told { x, body: kept.body, truncated: kept.truncated }
        })
    }
}

/// Keeps the body of a response.
struct Kept {
    body: Vec<u8>,
    bytes_max: usize,
    truncated: bool,
}

impl Sink for Kept {
    async fn head(&mut self, _: &mut Exchange, _: bool) -> Result<()> {
        Ok(())
    }

    async fn data(&mut self, x: &mut Exchange, data: Bytes) -> Result<()> {
        let room = self.bytes_max.saturating_sub(self.body.len());
        let taken = data.get(..room.min(data.len())).unwrap_or_default();
        self.truncated |= taken.len() < data.len();
        self.body.extend_from_slice(taken);
        x.response.body_bytes_sent += taken.len() as u64;
        Ok(())
    }

    async fn flush(&mut self, _: &mut Exchange) -> Result<()> {
        Ok(())
    }

    async fn end(&mut self, _: &mut Exchange, _: Option<Fields>) -> Result<()> {
        Ok(())
    }

    fn packs(&self) -> bool {
        false
    }
}
