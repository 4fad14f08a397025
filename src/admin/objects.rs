//! GET, PUT, POST and PATCH of objects: one set of handlers for all resources.

use http::Method;
use serde_json::{Map, Value};

use super::{
    Admin, Call, Note,
    check::{Fault, Review, id_text},
    patch, reply,
    table::{self, Naming, Resource},
    wire::Reply,
};
use crate::{
    clock,
    store::{Entry, Expect, Op, StoreError, Write},
};

/// How often a write is tried again when something it refers to went meanwhile.
const TRIES: usize = 3;

/// What is injected into objects, and may not be sent.
const TIMES: [&str; 2] = ["create_time", "update_time"];

/// What a path means.
#[derive(Debug, PartialEq)]
pub(super) struct Target {
    pub(super) resource: &'static Resource,
    /// The object that the collection is part of.
    pub(super) parent: Option<String>,
    pub(super) manager: Option<String>,
    pub(super) id: Option<String>,
    /// Where in the object.
    pub(super) sub: Vec<String>,
}

impl Target {
    /// What the keys of all objects of the collection begin with.
    pub(super) fn prefix(&self) -> String {
        let name = self.resource.name;
        match (self.resource.parent, &self.parent) {
            (Some(of), Some(parent)) => format!("{of}/{parent}/{name}/"),
            _ => format!("{name}/"),
        }
    }

    /// The key of the object with this id.
    pub(super) fn key(&self, id: &str) -> String {
        match &self.manager {
            Some(manager) => format!("{}{manager}/{id}", self.prefix()),
            None => format!("{}{id}", self.prefix()),
        }
    }

    /// What its parent's key is.
    fn parent_key(&self) -> Option<String> {
        Some(format!("{}/{}", self.resource.parent?, self.parent.as_ref()?))
    }
}

fn unsupported(method: &str, resource: &Resource) -> Reply {
    Reply::error(405, format!("not supported `{method}` method for {}", resource.kind))
}

impl Admin {
    /// What is asked for; nothing if it is no object but a schema or a plugin.
    pub(super) fn target(&self, method: &Method, path: &[&str]) -> Result<Option<Target>, Fault> {
        let (name, rest) = path.split_first().unwrap_or((&"", &[]));
        if *name == "stream_routes" && !self.settings.stream {
            let text = "stream mode is disabled, can not add stream routes";
            return Err(Fault::Bad(text.to_owned()));
        }
        if matches!(*name, "schema" | "plugins") {
            if method == Method::GET {
                return Ok(None);
            }
            return Err(Reply::error(404, "not found").into());
        }
        let unknown = || Reply::error(404, format!("Unsupported resource type: {name}"));
        let own = |text: &&str| (*text).to_owned();
        let owns = |list: &[&str]| list.iter().map(own).collect();
        let mut resource = table::resource(name).ok_or_else(unknown)?;
        let (mut parent, mut manager, mut rest) = (None, None, rest);
        if let [owner, child, below @ ..] = rest
            && Some(*child) == resource.child
            && let Some(found) = table::resource(child)
        {
            (resource, parent, rest) = (found, Some(own(owner)), below);
        } else if resource.parent == Some("services") {
            return Err(Fault::Bad("missing service id".to_owned()));
        } else if resource.parent.is_some() {
            return Err(unknown().into());
        }
        if resource.naming == Naming::Manager
            && let Some((first, below)) = rest.split_first()
        {
            (manager, rest) = (Some(own(first)), below);
        }
        let (id, sub) = match rest.split_first() {
            Some((id, sub)) => (Some(own(id)), owns(sub)),
            None => (None, Vec::new()),
        };
        Ok(Some(Target { resource, parent, manager, id, sub }))
    }

    /// Does what is asked with an object.
    pub(super) async fn object(&self, mut call: Call<'_>, target: Target) -> Result<Reply, Fault> {
        let body = call.body.take();
        match call.method.as_str() {
            "PUT" => self.put(&call, target, body).await,
            "POST" if target.resource.post => self.post(&call, target, body).await,
            "PATCH" if target.resource.patch => self.patch(&call, target, body).await,
            "DELETE" => self.delete(&call, target).await,
            "GET" => match &target.id {
                Some(id) => self.get(&call, &target, id).await,
                None => self.list(&call, &target).await,
            },
            method => Ok(unsupported(method, target.resource)),
        }
    }

    async fn get(&self, call: &Call<'_>, target: &Target, id: &str) -> Result<Reply, Fault> {
        let Some(entry) = self.store.get(&target.key(id)).await? else {
            return Ok(Reply::key_not_found());
        };
        let value = self.shown(call, target.resource, id, &entry);
        Ok(self.one(reply::Item::new(self, &entry, value)))
    }

    /// A stored object as it is shown: decrypted, and without what nobody should see.
    pub(super) fn shown(
        &self,
        call: &Call<'_>,
        resource: &Resource,
        id: &str,
        entry: &Entry,
    ) -> Value {
        let Ok(mut value) = serde_json::from_str::<Value>(&entry.value) else {
            (self.tell)(Note::Warning(&format!("{} holds no JSON", entry.key)));
            return Value::Null;
        };
        self.open(call, resource, id, &mut value);
        hide(resource, &mut value);
        value
    }

    fn review<'r>(&'r self, call: &'r Call<'_>, target: &'r Target) -> Review<'r> {
        Review {
            admin: self,
            store: self.store.as_ref(),
            facts: call.facts,
            resource: target.resource,
            id: target.id.as_deref(),
            parent: target.parent.as_deref(),
            manager: target.manager.as_deref(),
            follow: true,
            unique: true,
            needs: Vec::new(),
        }
    }

    async fn put(
        &self,
        call: &Call<'_>,
        mut target: Target,
        body: Option<Value>,
    ) -> Result<Reply, Fault> {
        let mut conf = self.bound(&target, body, target.id.as_deref()).await?;
        identify(&mut target, &mut conf)?;
        forbid_times(&conf)?;
        for _ in 0..TRIES {
            let mut review = self.review(call, &target);
            review.check(&mut conf.clone()).await?;
            let mut needs = review.needs;
            let mut conf = conf.clone();
            if target.resource.naming == Naming::Username {
                let name = conf.get("username").and_then(Value::as_str);
                target.id = name.map(str::to_owned);
            }
            let Some(id) = target.id.clone() else {
                return Err(Fault::Bad(format!("wrong {} id", target.resource.kind)));
            };
            let key = target.key(&id);
            needs.extend(self.parent(&target).await?);
            let before = self.store.get(&key).await?;
            self.seal(call, target.resource, &id, &mut conf);
            stamp(&target, &id, &mut conf, before.as_ref());
            let mut ops = Vec::new();
            if before.is_none()
                && let Some(child) = target.resource.child
            {
                // What was left of an object with the same id.
                ops.push(Op::DeletePrefix(format!("{key}/{child}/")));
            }
            ops.push(Op::Put { key: key.clone(), value: conf.to_string(), ttl: call.ttl });
            match self.write(call, &key, needs, ops).await {
                Ok(existed) => {
                    hide(target.resource, &mut conf);
                    return Ok(self.written(if existed { 200 } else { 201 }, "set", &key, conf));
                }
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::Unavailable("what this object refers to keeps changing".to_owned()))
    }

    async fn post(
        &self,
        call: &Call<'_>,
        mut target: Target,
        body: Option<Value>,
    ) -> Result<Reply, Fault> {
        let mut conf = self.bound(&target, body, target.id.as_deref()).await?;
        if target.id.is_some() || conf.get("id").is_some_and(|id| !id.is_null()) {
            let kind = target.resource.kind;
            return Err(Fault::Bad(format!("wrong {kind} id, do not need it")));
        }
        forbid_times(&conf)?;
        let mut review = self.review(call, &target);
        review.check(&mut conf.clone()).await?;
        let mut needs = review.needs;
        needs.extend(self.parent(&target).await?);
        let id = format!("{:020}", self.store.new_id().await?);
        set(&mut conf, "id", id.as_str().into());
        self.seal(call, target.resource, &id, &mut conf);
        stamp(&target, &id, &mut conf, None);
        let key = target.key(&id);
        target.id = Some(id);
        let ops = vec![Op::Put { key: key.clone(), value: conf.to_string(), ttl: call.ttl }];
        match self.write(call, &key, needs, ops).await {
            Ok(_) => {
                hide(target.resource, &mut conf);
                Ok(self.written(201, "create", &key, conf))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn patch(
        &self,
        call: &Call<'_>,
        mut target: Target,
        body: Option<Value>,
    ) -> Result<Reply, Fault> {
        let bad = |text: String| Err(Fault::Bad(text));
        let Some(id) = target.id.clone() else {
            return match target.resource.naming {
                Naming::Manager => bad("no secret id".to_owned()),
                _ => bad(format!("missing {} id", target.resource.kind)),
            };
        };
        if target.parent.is_some() {
            // Its path names its parent, so there is no room for one into the object.
            target.sub.clear();
            self.check_decoration_patch(&target, body.as_ref(), &id).await?;
        }
        let Some(body) = body else { return bad("missing new configuration".to_owned()) };
        let key = target.key(&id);
        let whole = target.sub.is_empty();
        let body = if whole { as_object(body)? } else { body };
        let Some(before) = self.store.get(&key).await? else { return Ok(Reply::key_not_found()) };
        let mut conf: Value = serde_json::from_str(&before.value).unwrap_or_default();
        self.open(call, target.resource, &id, &mut conf);
        let said = whole && body.get("update_time").is_some();
        match (&mut conf, body) {
            (Value::Object(old), Value::Object(new)) if whole => patch::merge(old, new),
            (conf, body) => patch::put_at(conf, &target.sub, body).map_err(Fault::Bad)?,
        }
        if !patch::within(&conf, patch::LEVELS_MAX) {
            return bad("invalid configuration: it is nested too deep".to_owned());
        }
        if !said {
            set(&mut conf, "update_time", now());
        }
        identify(&mut target, &mut conf)?;
        let mut review = self.review(call, &target);
        review.check(&mut conf.clone()).await?;
        let needs = review.needs;
        self.seal(call, target.resource, &id, &mut conf);
        stamp(&target, &id, &mut conf, Some(&before));
        let ops = vec![Op::Put { key: key.clone(), value: conf.to_string(), ttl: call.ttl }];
        let mut when = vec![(key.clone(), Expect::Modified(before.modified))];
        when.extend(needs.into_iter().map(|key| (key, Expect::Present)));
        match self.write_when(call, &key, when, ops).await {
            Ok(_) => {
                hide(target.resource, &mut conf);
                Ok(self.written(200, "compareAndSwap", &key, conf))
            }
            Err(StoreError::Conflict(_)) => {
                Err(Fault::Unavailable("value changed before overwritten".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The body as an object; one of a service's decorations also belongs to its service.
    async fn bound(
        &self,
        target: &Target,
        body: Option<Value>,
        id: Option<&str>,
    ) -> Result<Value, Fault> {
        let decorates = target.resource.parent == Some("services");
        let Some(body) = body else {
            let text = if decorates { "invalid configuration" } else { "missing configurations" };
            return Err(Fault::Bad(text.to_owned()));
        };
        let mut conf = match body {
            Value::Array(list) if list.is_empty() => Value::Object(Map::new()),
            body => body,
        };
        let Some(service) = target.parent.as_deref().filter(|_| decorates) else { return Ok(conf) };
        if !conf.is_object() {
            return Err(Fault::Bad("invalid configuration".to_owned()));
        }
        let said = conf.get("service_id").and_then(id_text);
        if said.is_some_and(|said| said != service) {
            let text = "wrong service_id, it is taken from the path";
            return Err(Fault::Bad(text.to_owned()));
        }
        if self.parent(target).await?.is_none() {
            return Err(Reply::error(404, "service not found").into());
        }
        self.unique_field(target, &conf, id).await?;
        set(&mut conf, "service_id", service.into());
        Ok(conf)
    }

    /// Checks that no other decoration of the service is for the same field.
    async fn unique_field(
        &self,
        target: &Target,
        conf: &Value,
        id: Option<&str>,
    ) -> Result<(), Fault> {
        let Some(field) = conf.get("field_path").and_then(Value::as_str) else { return Ok(()) };
        let prefix = target.prefix();
        for entry in self.store.list(&prefix).await?.entries {
            let other = entry.key.strip_prefix(&*prefix).unwrap_or_default();
            let value: Value = serde_json::from_str(&entry.value).unwrap_or_default();
            if Some(other) != id && value.get("field_path").and_then(Value::as_str) == Some(field) {
                return Err(Fault::Bad(format!(
                    "field_path {field} is already decorated on this service by [{other}]"
                )));
            }
        }
        Ok(())
    }

    async fn check_decoration_patch(
        &self,
        target: &Target,
        body: Option<&Value>,
        id: &str,
    ) -> Result<(), Fault> {
        let Some(body @ Value::Object(_)) = body else {
            return Err(Fault::Bad("invalid configuration".to_owned()));
        };
        if body.get("service_id").is_some() {
            return Err(Fault::Bad("service_id can not be patched".to_owned()));
        }
        self.unique_field(target, body, Some(id)).await
    }

    /// The key of the object that the collection is part of, if there is such a thing; it must
    /// exist.
    async fn parent(&self, target: &Target) -> Result<Option<String>, Fault> {
        let Some(key) = target.parent_key() else { return Ok(None) };
        if self.store.get(&key).await?.is_some() {
            return Ok(Some(key));
        }
        let kind = target.resource.parent.unwrap_or_default().trim_end_matches('s');
        Err(Reply::error(404, format!("{kind} not found")).into())
    }

    /// Writes if `needs` are there. Returns whether the last key was there before.
    pub(super) async fn write(
        &self,
        call: &Call<'_>,
        key: &str,
        needs: Vec<String>,
        ops: Vec<Op>,
    ) -> Result<bool, StoreError> {
        let when = needs.into_iter().map(|key| (key, Expect::Present)).collect();
        self.write_when(call, key, when, ops).await
    }

    async fn write_when(
        &self,
        call: &Call<'_>,
        key: &str,
        when: Vec<(String, Expect)>,
        ops: Vec<Op>,
    ) -> Result<bool, StoreError> {
        let written = self.store.write(Write { when, ops, who: call.who.to_owned() }).await?;
        let existed = written.before.last().is_some_and(|before| *before > 0);
        let deleted = call.method == Method::DELETE;
        if existed || !deleted {
            let (who, address, what) = (call.who, call.address, call.method.as_str());
            (self.tell)(Note::Changed { who, address, what, key, revision: written.revision });
        }
        Ok(existed)
    }
}

fn now() -> Value {
    clock::wall().as_secs().into()
}

fn set(conf: &mut Value, name: &str, value: Value) {
    if let Value::Object(map) = conf {
        map.insert(name.to_owned(), value);
    }
}

fn hide(resource: &Resource, value: &mut Value) {
    if let Value::Object(map) = value {
        resource.hidden.iter().for_each(|name| drop(map.shift_remove(*name)));
    }
}

fn as_object(body: Value) -> Result<Value, Fault> {
    match body {
        Value::Object(_) => Ok(body),
        Value::Array(list) if list.is_empty() => Ok(Value::Object(Map::new())),
        _ => Err(Fault::Bad("invalid configuration".to_owned())),
    }
}

/// Brings the id of the path and that of the body together.
fn identify(target: &mut Target, conf: &mut Value) -> Result<(), Fault> {
    let kind = target.resource.kind;
    let bad = |text: String| Err(Fault::Bad(text));
    if matches!(target.resource.naming, Naming::Username | Naming::Plugin) || !conf.is_object() {
        return Ok(());
    }
    let said = conf.get("id").filter(|id| !id.is_null()).cloned();
    let said_text = said.as_ref().map(|id| id_text(id).unwrap_or_else(|| id.to_string()));
    let named = match (&target.manager, &target.id) {
        (Some(manager), Some(id)) => Some(format!("{manager}/{id}")),
        (None, _) if target.resource.naming == Naming::Manager => None,
        (_, id) => id.clone(),
    };
    match (named, said) {
        (None, None) => bad(format!("missing {kind} id")),
        (None, Some(_)) if target.resource.naming == Naming::Manager => {
            bad(format!("missing {kind} id"))
        }
        (None, Some(said)) => {
            // What is no id at all is refused by the schema, in its words.
            target.id = id_text(&said).filter(|id| !id.contains('/'));
            Ok(())
        }
        (Some(named), said) => {
            if said.is_some() && said_text.as_deref() != Some(&*named) {
                return bad(format!("wrong {kind} id"));
            }
            set(conf, "id", named.into());
            Ok(())
        }
    }
}

/// Refuses times, which are not the client's to say.
fn forbid_times(conf: &Value) -> Result<(), Fault> {
    for (section, shown) in
        [(None, ""), (Some("upstream"), "upstream."), (Some("plugins"), "plugins.")]
    {
        let at = section.map_or(Some(conf), |section| conf.get(section));
        for name in TIMES {
            if at.and_then(|at| at.get(name)).is_some() {
                return Err(Fault::Bad(format!("the property is forbidden:  {shown}{name}")));
            }
        }
    }
    Ok(())
}

/// Writes down when an object was made and changed; metadata of plugins has its name instead.
fn stamp(target: &Target, id: &str, conf: &mut Value, before: Option<&Entry>) {
    if target.resource.naming == Naming::Plugin {
        set(conf, "id", id.into());
        return;
    }
    if conf.get("create_time").is_none() {
        let before: Option<Value> =
            before.and_then(|before| serde_json::from_str(&before.value).ok());
        let created = before.and_then(|before| before.get("create_time").cloned());
        set(conf, "create_time", created.unwrap_or_else(now));
    }
    if conf.get("update_time").is_none() {
        set(conf, "update_time", now());
    }
}
