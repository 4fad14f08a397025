//! What `moongate test` says about the configuration of a prefix.

use std::{collections::HashMap, path::Path};

use super::{
    Problem, Severity, Snapshot,
    check::{PluginChecker, Recheck, apply},
    env::Env,
    local::{self, Loaded},
    merge,
    raw::{Kind, RawItem},
    source::file,
    upstream::split_address,
};

/// Checks `config.yaml` at `config_path` and the standalone file below `prefix` as a start
/// would, and tells everything that is wrong. Nothing is an empty list; warnings are marked.
pub fn check_all(
    prefix: &Path,
    config_path: &Path,
    checker: &mut dyn PluginChecker,
    env: Env<'_>,
) -> Vec<Problem> {
    // As at a start, defaults stand in for a file that is not there.
    let loaded = if config_path.exists() {
        local::load(config_path, env)
    } else {
        local::parse("", "(built-in defaults)", env)
    };
    let (local, mut problems) = match loaded {
        Ok(Loaded { local, warnings }) => (local, warnings),
        Err(problems) => return problems,
    };
    let path = local::standalone_path(prefix, local.standalone, env);
    let name = path.display().to_string();
    let document = match file::read(&path, local.standalone, &local.limits, env) {
        Ok(document) => document,
        Err(error) => {
            problems.push(error.into_in(&name));
            return problems;
        }
    };
    // Of two definitions the later one counts, here as well.
    let mut lines: HashMap<(Kind, String), usize> = HashMap::new();
    for kind in Kind::ALL {
        let known = |item: &RawItem| Some(((kind, item.id.clone()), item.line?));
        lines.extend(document.items(kind).iter().filter_map(known));
    }
    for (kind, id, _, line) in &document.broken {
        lines.extend(line.map(|line| ((*kind, id.clone()), line)));
    }
    let applied = apply(&Snapshot::default(), document, checker, Recheck::All);
    let mut add = |severity, kind: Kind, id: &str, message: String| {
        let object = Some(format!("{}/{id}", kind.plural()));
        let line = lines.get(&(kind, id.to_owned())).copied();
        problems.push(Problem { severity, file: name.clone(), line, object, message });
    };
    for refusal in applied.snapshot.refusals.iter() {
        add(Severity::Error, refusal.kind, &refusal.id, refusal.reason.clone());
    }
    for notice in applied.notices {
        add(Severity::Warning, notice.kind, &notice.id, notice.text);
    }
    references(&applied.snapshot, &mut add);
    for text in merge::global_rules(&applied.snapshot.global_rules).errors {
        let (severity, file) = (Severity::Warning, name.clone());
        problems.push(Problem { severity, file, line: None, object: None, message: text });
    }
    for message in applied.warnings {
        let (severity, file) = (Severity::Warning, name.clone());
        problems.push(Problem { severity, file, line: None, object: None, message });
    }
    problems
}

/// Objects that name others which do not exist. A gateway starts with them, since the others
/// may come later, but a file that is complete should not have any.
fn references(snapshot: &Snapshot, add: &mut dyn FnMut(Severity, Kind, &str, String)) {
    let missing_upstream = |id: &Option<std::sync::Arc<str>>| {
        let id = id.as_ref().filter(|id| snapshot.upstreams.get(id).is_none())?;
        Some(format!("upstream [{id}] does not exist"))
    };
    for route in snapshot.routes.iter() {
        if let Err(missing) = merge::merged(route, snapshot) {
            let text = format!("{} [{}] does not exist", missing.kind, missing.id);
            add(Severity::Error, Kind::Routes, &route.id, text);
        }
        if let Some(text) = missing_upstream(&route.typed.upstream_id) {
            add(Severity::Error, Kind::Routes, &route.id, text);
        }
        for address in &route.typed.hosts {
            if let (host, Some(_)) = split_address(address) {
                let text =
                    format!("host \"{address}\" has a port and can match none, use \"{host}\"");
                add(Severity::Warning, Kind::Routes, &route.id, text);
            }
        }
    }
    for service in snapshot.services.iter() {
        if let Some(text) = missing_upstream(&service.typed.upstream_id) {
            add(Severity::Error, Kind::Services, &service.id, text);
        }
    }
    for consumer in snapshot.consumers.iter() {
        let group = consumer.typed.group_id.as_ref();
        if let Some(id) = group.filter(|id| snapshot.consumer_groups.get(id).is_none()) {
            let text = format!("consumer_group [{id}] does not exist");
            add(Severity::Error, Kind::Consumers, &consumer.id, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Names;

    fn check(config: &str, objects: &str) -> Vec<String> {
        let dir = crate::config::source::watch::tests::TempDir::new("verify");
        let conf = dir.path().join("conf");
        std::fs::create_dir(&conf).unwrap();
        std::fs::write(conf.join("config.yaml"), config).unwrap();
        std::fs::write(conf.join("apisix.yaml"), objects).unwrap();
        let path = conf.join("config.yaml");
        let prefix = format!("{}/conf/", dir.path().display());
        check_all(dir.path(), &path, &mut Names::default(), &|_| None)
            .iter()
            .map(|problem| problem.to_string().replace(&prefix, ""))
            .collect()
    }

    #[test]
    fn everything_wrong_is_told_with_file_line_and_object() {
        let problems = check(
            "apisix: {foo: 1}\n",
            "routes:
  - id: 1
    uri: /
    plugins: {x: {bad: 1}}
  - id: 2
    uri: /
    upstream_id: 7
  - id: 3
    uri: /
    plugins: {off: {}}
  - id: 4
    uri: /
    service_id: none
  - 5
global_rules:
  - {id: 1, plugins: {a: {}}}
  - {id: 2, plugins: {a: {}}}
things: []
#END",
        );
        assert_eq!(
            problems,
            [
                "config.yaml:1: warning: unknown key apisix.foo, ignored",
                "apisix.yaml:14: routes/arr_5: it should be an object",
                "apisix.yaml:2: routes/1: failed to check the configuration of plugin x err: \
                 property \"bad\" is bad (Plugin)",
                "apisix.yaml:8: warning: routes/3: plugin [off] is not enabled, its configuration \
                 is ignored",
                "apisix.yaml:5: routes/2: upstream [7] does not exist",
                "apisix.yaml:11: routes/4: service [none] does not exist",
                "apisix.yaml: warning: Found a configured across different global rules. Removing \
                 it from execution list",
                "apisix.yaml: warning: unknown section things, ignored",
            ]
        );
    }

    #[test]
    fn a_good_prefix_has_no_problem() {
        assert_eq!(
            check("", "routes:\n  - {uri: /, upstream: {nodes: {\"a:1\": 1}}}\n#END"),
            [""; 0]
        );
        assert!(check("apisix: [", "x")[0].starts_with("config.yaml:1"));
        assert!(check("", "routes: []\n")[0].contains("missing valid end flag"));
    }
}
