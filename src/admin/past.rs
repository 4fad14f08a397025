//! Earlier revisions, for `moongate config history`, `diff` and `rollback`: paths below
//! `/apisix/admin/moongate`, which APISIX does not have.
//!
//! Texts are shown as they are stored, so what is encrypted stays encrypted, and without the
//! fields that no read shows. Going back is a write like any other: what it brings back is
//! checked as if somebody had put it, and it is a new revision with a line in the audit.

use serde_json::{Value, json};

use super::{
    Admin, Call, Note,
    check::Fault,
    state::{Place, State},
    wire::Reply,
};
use crate::store::{Difference, HistoryError, Past, Revision};

/// Revisions that are told where nobody says how many.
const REVISIONS: f64 = 20.0;

/// Revisions that are told at most.
const REVISIONS_MAX: f64 = 10_000.0;

impl From<HistoryError> for Fault {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::NotKept { .. } => Reply::error(404, error.to_string()).into(),
            HistoryError::Store(error) => error.into(),
        }
    }
}

impl Admin {
    fn past(&self) -> Result<&dyn Past, Fault> {
        let text = "only the embedded store keeps its history";
        self.store.past().ok_or_else(|| Fault::Bad(text.to_owned()))
    }

    /// `GET moongate/history?limit=`: which revision changed what, without the values.
    pub(super) async fn history(&self, call: &Call<'_>) -> Result<Reply, Fault> {
        let limit = call.query.number("limit").unwrap_or(REVISIONS).clamp(1.0, REVISIONS_MAX);
        let revisions = self.past()?.history(limit as usize).await?;
        let revisions: Vec<Value> = revisions.iter().map(told).collect();
        Ok(Reply::json(200, json!({"revisions": revisions})))
    }

    /// `GET moongate/diff?from=&to=`: without `to`, up to now.
    pub(super) async fn diff(&self, call: &Call<'_>) -> Result<Reply, Fault> {
        let number = |name: &str| call.query.get(name).map(|text| revision(name, text)).transpose();
        let past = self.past()?;
        let from = number("from")?.ok_or_else(|| Fault::Bad("missing from".to_owned()))?;
        let to = match number("to")? {
            Some(to) => to,
            None => self.newest().await?,
        };
        let changes: Vec<Value> = past.diff(from, to).await?.iter().map(compared).collect();
        Ok(Reply::json(200, json!({"from": from, "to": to, "changes": changes})))
    }

    /// `POST moongate/rollback?to=`
    pub(super) async fn rollback(&self, call: &Call<'_>) -> Result<Reply, Fault> {
        let to = call.query.get("to").ok_or_else(|| Fault::Bad("missing to".to_owned()))?;
        let to = revision("to", to)?;
        let past = self.past()?;
        let now = self.store.list("").await?;
        let differences = past.diff(now.revision, to).await?;
        // What is the same then and now has been judged before. What changes while this judges
        // was in force until then.
        let mut state = State::new(now.entries);
        let mut back = Vec::new();
        for Difference { key, after, .. } in differences {
            if after.is_some() {
                back.push(key.to_string());
            }
            state.set(&key, after);
        }
        let problems = self.check_keys(call, &state, &back).await?;
        if !problems.is_empty() {
            let text = format!("revision {to} would not be accepted today, nothing is written");
            return Ok(Reply::json(400, json!({"error_msg": text, "errors": problems})));
        }
        let written = past.rollback(to, call.who).await?;
        let (who, address, what) = (call.who, call.address, "rollback");
        let key = format!("to revision {to}");
        (self.tell)(Note::Changed { who, address, what, key: &key, revision: written.revision });
        let body = json!({"revision": written.revision, "changed": written.before.len()});
        Ok(Reply::json(200, body))
    }

    async fn newest(&self) -> Result<u64, Fault> {
        // No key begins so.
        Ok(self.store.list("\0").await?.revision)
    }
}

fn revision(name: &str, text: &str) -> Result<u64, Fault> {
    text.parse().map_err(|_| Fault::Bad(format!("{name} is no revision: {text}")))
}

fn told(revision: &Revision) -> Value {
    let change = |change: &Difference| {
        let what = match (&change.before, &change.after) {
            (None, _) => "new",
            (_, None) => "gone",
            _ => "changed",
        };
        json!({"key": *change.key, "what": what})
    };
    json!({
        "revision": revision.revision,
        "time": revision.time.as_secs(),
        "who": revision.who,
        "changes": revision.changes.iter().map(change).collect::<Vec<_>>(),
    })
}

/// One key at two revisions, without what no read shows; that it changed is told.
fn compared(difference: &Difference) -> Value {
    let Difference { key, before, after } = difference;
    let read = |text: &Option<std::sync::Arc<str>>| {
        let text = text.as_ref()?;
        Some(serde_json::from_str(text).unwrap_or_else(|_| Value::from(&**text)))
    };
    let (mut before, mut after): (Option<Value>, Option<Value>) = (read(before), read(after));
    let hidden = Place::of(key).map(|place| place.resource.hidden).unwrap_or_default();
    for name in hidden {
        let of = |value: &Option<Value>| value.as_ref()?.get(*name).cloned();
        let same = of(&before) == of(&after);
        cover(before.as_mut(), name, "<hidden>");
        cover(after.as_mut(), name, if same { "<hidden>" } else { "<hidden, another one>" });
    }
    json!({"key": **key, "before": before, "after": after})
}

fn cover(value: Option<&mut Value>, name: &str, sign: &str) {
    if let Some(place) = value.and_then(|value| value.get_mut(name)) {
        *place = sign.into();
    }
}
