//! The process and its configuration, as an operator meets them.

use std::{fs, os::unix::fs::symlink, process::Command};

use crate::harness::{Gateway, Prefix, answer, ask, route, until, upstream};

/// What a verb printed, both streams.
fn printed(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn it_proxies_both_ways() {
    let gateway = Gateway::with(&format!("routes:\n{}", route("a", upstream("one"))));
    assert_eq!(gateway.get("/a/b?c=d"), (200, "one: GET /a/b?c=d HTTP/1.1, 0 bytes\n".to_owned()));
    assert_eq!(gateway.get("/b").0, 404);
    let body = "x".repeat(300_000);
    let request = format!(
        "POST /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, head, body) = ask(gateway.prefix.port, &request).unwrap();
    assert_eq!((status, body.as_str()), (200, "one: POST /a HTTP/1.1, 300000 bytes\n"));
    assert!(head.contains("\r\nServer: APISIX/"), "{head}");
}

#[test]
fn a_dead_upstream_is_502_and_the_next_request_is_served() {
    let objects = format!("routes:\n{}{}", route("dead", 1), route("a", upstream("one")));
    let gateway = Gateway::with(&objects);
    assert_eq!(gateway.get("/dead").0, 502);
    assert_eq!(gateway.get("/a").0, 200);
}

#[test]
fn a_written_file_serves_without_a_word() {
    let (one, two) = (upstream("one"), upstream("two"));
    let gateway = Gateway::with(&format!("routes:\n{}", route("a", one)));
    gateway.prefix.objects(&format!("routes:\n{}", route("a", two)));
    gateway.comes("/a", 200, "two:");
}

#[test]
fn a_file_without_its_end_changes_nothing() {
    let (one, two) = (upstream("one"), upstream("two"));
    let gateway = Gateway::with(&format!("routes:\n{}", route("a", one)));
    gateway.prefix.write("conf/apisix.yaml", &format!("routes:\n{}", route("a", two)));
    gateway.logs("missing valid end flag");
    assert!(gateway.get("/a").1.starts_with("one:"));
    gateway.prefix.write("conf/apisix.yaml", "routes:\n  - {id: [\n#END\n");
    gateway.logs("apisix.yaml:");
    assert!(gateway.get("/a").1.starts_with("one:"));
    gateway.prefix.objects(&format!("routes:\n{}", route("a", two)));
    gateway.comes("/a", 200, "two:");
}

#[test]
fn a_bad_object_is_refused_by_its_id_and_the_rest_applies() {
    let one = upstream("one");
    let gateway = Gateway::with(&format!(
        "routes:\n{}  - {{id: bad, uri: /bad, plugins: {{key-auth: {{header: 5}}}}}}\n",
        route("a", one)
    ));
    assert_eq!(gateway.get("/a").0, 200);
    assert_eq!(gateway.get("/bad").0, 404);
    gateway.logs("routes [bad] is refused: ");
    gateway.logs("property \"header\" validation failed: wrong type: expected string");
    let (status, config) = answer(gateway.prefix.control, "/v1/config").unwrap();
    assert_eq!(status, 200);
    assert!(config.contains("\"id\":\"bad\"") && config.contains("\"line\":3"), "{config}");
}

#[test]
fn a_symlink_swap_is_seen_as_kubernetes_makes_it() {
    let (one, two) = (upstream("one"), upstream("two"));
    let prefix = Prefix::new("");
    for (version, port) in [("v1", one), ("v2", two)] {
        let text = format!("routes:\n{}#END\n", route("a", port));
        prefix.write(&format!("conf/{version}/apisix.yaml"), &text);
    }
    let conf = prefix.path.join("conf");
    symlink("v1", conf.join("..data")).unwrap();
    symlink("..data/apisix.yaml", conf.join("apisix.yaml")).unwrap();
    let gateway = prefix.start();
    gateway.comes("/a", 200, "one:");
    symlink("v2", conf.join("..tmp")).unwrap();
    fs::rename(conf.join("..tmp"), conf.join("..data")).unwrap();
    gateway.comes("/a", 200, "two:");
}

#[test]
fn json_is_read_where_config_yaml_says_so() {
    let prefix =
        Prefix::new("deployment: {role: data_plane, role_data_plane: {config_provider: json}}");
    let (one, two) = (upstream("one"), upstream("two"));
    let objects = |port: u16| {
        format!(
            "{{\"routes\": [{{\"id\": \"a\", \"uri\": \"/a\", \
             \"upstream\": {{\"nodes\": {{\"127.0.0.1:{port}\": 1}}}}}}]}}"
        )
    };
    prefix.write("conf/apisix.json", &objects(one));
    let gateway = prefix.start();
    gateway.comes("/a", 200, "one:");
    gateway.prefix.write("conf/apisix.json", &objects(two));
    gateway.comes("/a", 200, "two:");
}

#[test]
fn the_test_verb_tells_file_line_and_object_of_every_problem() {
    let prefix = Prefix::new("nonsense: 1");
    prefix.objects(
        "routes:
  - {id: good, uri: /, upstream: {nodes: {\"127.0.0.1:1\": 1}}}
  - {id: bad, uri: /, plugins: {limit-count: {count: 0}}}
  - {id: lost, uri: /, upstream_id: nowhere}",
    );
    let output = prefix.run(&["test"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("config.yaml:6: warning: unknown key nonsense"), "{text}");
    assert!(text.contains("apisix.yaml:3: routes/bad: failed to check the"), "{text}");
    assert!(text.contains("apisix.yaml:4: routes/lost: upstream [nowhere] does not"), "{text}");
    assert!(text.contains("2 errors"), "{text}");

    prefix.objects("routes:\n  - {id: good, uri: /, upstream: {nodes: {\"127.0.0.1:1\": 1}}}");
    let output = prefix.run(&["test"]);
    assert!(output.status.success(), "{}", printed(&output));

    prefix.config("nginx_config: {worker_processes: many}");
    let output = prefix.run(&["test"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("config.yaml:6: nginx_config.worker_processes must be"));
}

#[test]
fn a_broken_config_yaml_does_not_start() {
    let prefix = Prefix::new("plugins: [");
    prefix.objects("routes: []");
    let output = prefix.run(&["start"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("config.yaml:"), "{}", printed(&output));
}

#[test]
fn unknown_keys_and_changed_ones_that_need_a_restart_are_told() {
    let prefix = Prefix::new("nonsense: {a: 1}");
    prefix.objects("routes: []");
    let gateway = prefix.start();
    gateway.logs("config.yaml:6: warning: unknown key nonsense, ignored");
    gateway.prefix.config("nginx_config: {worker_processes: 1, error_log_level: info}");
    assert!(gateway.prefix.run(&["reload"]).status.success());
    gateway.logs("these changed keys need a restart: nginx_config.worker_processes");
    gateway.prefix.config("nginx_config: {worker_processes: none}");
    assert!(gateway.prefix.run(&["reload"]).status.success());
    gateway.logs("config.yaml stays as it was: ");
    assert_eq!(gateway.get("/").0, 404);
}

#[test]
fn hangup_takes_a_new_plugin_into_use() {
    let prefix = Prefix::new("");
    prefix.objects("routes: []\nglobal_rules: [{id: 1, plugins: {mine: {}}}]");
    assert!(prefix.run(&["plugin", "new", "mine"]).status.success());
    let gateway = prefix.start();
    let greeted = || {
        let request = "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
        ask(gateway.prefix.port, request).is_some_and(|(_, head, _)| {
            head.to_ascii_lowercase().contains("\r\nx-greeting: hello from mine")
        })
    };
    assert!(!greeted());
    gateway.prefix.config("moongate: {add_plugins: [mine]}");
    assert!(gateway.prefix.run(&["reload"]).status.success());
    assert!(until(greeted), "{}", gateway.log());
}

#[test]
fn a_taken_port_is_told_with_the_pid_that_has_it() {
    let gateway = Gateway::with("routes: []");
    let second = Prefix::new("");
    second.objects("routes: []");
    let config = second.read("conf/config.yaml");
    let taken = config.replace(&second.port.to_string(), &gateway.prefix.port.to_string());
    second.write("conf/config.yaml", &taken);
    let output = second.run(&["start"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("address already in use by pid {}", gateway.child.id());
    assert!(printed(&output).contains(&expected), "{}", printed(&output));
    assert_eq!(gateway.get("/").0, 404);
}

#[test]
fn nothing_is_served_while_a_port_of_the_operator_is_taken() {
    let faces: [fn(&Prefix) -> u16; 2] = [|prefix| prefix.status, |prefix| prefix.control];
    for face in faces {
        let prefix = Prefix::new("");
        prefix.objects("routes: []");
        let port = face(&prefix);
        let _holder = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let mut command = prefix.command(&["start"]);
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut served = 0;
        while child.try_wait().unwrap().is_none() {
            served += usize::from(answer(prefix.port, "/").is_some());
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), served), (Some(1), 0));
        let expected = format!("cannot listen on 127.0.0.1:{port}: address already in use by pid");
        assert!(printed(&output).contains(&expected), "{}", printed(&output));
    }
}

#[test]
fn a_timer_has_a_ctx_of_its_own() {
    let prefix = Prefix::new("moongate: {add_plugins: [timed]}");
    prefix.write(
        "plugins/timed.lua",
        r#"
local function run(premature, name)
    if premature then return end
    assert(ngx.ctx.name == nil, "another timer's ctx")
    ngx.ctx.name = name
    ngx.ctx.count = (ngx.ctx.count or 0) + 1
    ngx.sleep(0.01)
    ngx.thread.wait(ngx.thread.spawn(function() ngx.ctx.count = ngx.ctx.count + 1 end))
    local seen = ngx.ctx.name .. ngx.ctx.count
    ngx.ctx = { name = "new" }
    ngx.log(ngx.WARN, "timer ", seen, " ", ngx.ctx.name, " ", tostring(ngx.ctx.count))
end
return { name = "timed", version = 0.1, priority = 10, schema = { type = "object" },
    init = function() ngx.ctx.init = "yes"; ngx.log(ngx.WARN, "init ", ngx.ctx.init) end,
    access = function(conf, ctx)
        ngx.ctx.name = "request"
        assert(ngx.timer.at(0, run, "a") and ngx.timer.at(0, run, "b"))
        ngx.sleep(0.05)
        return 200, ngx.ctx.name
    end }
"#,
    );
    prefix.objects("routes:\n  - {id: t, uri: /t, plugins: {timed: {}}}\n");
    let gateway = prefix.start();
    assert_eq!(gateway.get("/t"), (200, "request".to_owned()));
    for line in ["timer a2 new nil", "timer b2 new nil", "init yes"] {
        gateway.logs(line);
    }
    assert!(!gateway.log().contains("runtime error"), "{}", gateway.log());
}

#[test]
fn stop_ends_it_and_health_tells_whether_it_runs() {
    let mut gateway = Gateway::with("routes: []");
    let health = gateway.prefix.run(&["health"]);
    assert!(health.status.success(), "{}", printed(&health));
    assert!(gateway.prefix.path.join("logs/nginx.pid").is_file());
    assert!(gateway.prefix.run(&["stop"]).status.success());
    assert!(gateway.ends_well(), "{}", gateway.log());
    assert!(!gateway.prefix.path.join("logs/nginx.pid").exists());
    let health = gateway.prefix.run(&["health"]);
    assert_eq!(health.status.code(), Some(1));
    assert!(printed(&health).contains("/status/ready"), "{}", printed(&health));
    let stop = gateway.prefix.run(&["stop"]);
    assert!(printed(&stop).contains("no running process"), "{}", printed(&stop));
}

/// How many workers the Control API shows.
fn workers(gateway: &Gateway) -> usize {
    let (_, text) = answer(gateway.prefix.control, "/v1/workers").unwrap();
    text.matches("\"requests\"").count()
}

#[test]
fn workers_are_counted_by_file_by_variable_and_by_affinity() {
    let prefix = || {
        let prefix = Prefix::new("nginx_config: {worker_processes: 3, error_log_level: notice}");
        prefix.objects("routes: []");
        prefix
    };
    let gateway = prefix().start();
    assert_eq!(workers(&gateway), 3);
    gateway.logs("3 workers by ");

    let prefix = prefix();
    let mut command = prefix.command(&["start"]);
    command.env("APISIX_WORKER_PROCESSES", "2");
    let gateway = prefix.start_as(command);
    assert_eq!(workers(&gateway), 2);

    let prefix = Prefix::new("nginx_config: {error_log_level: notice}");
    prefix.objects("routes: []");
    let mut command = Command::new("taskset");
    // Any CPU this process may use will do: the first of its own list.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let first = list.trim().split([',', '-']).next().unwrap();
    command
        .args(["-c", first, env!("CARGO_BIN_EXE_moongate"), "-p"])
        .arg(&prefix.path)
        .arg("start");
    let gateway = prefix.start_as(command);
    assert_eq!(workers(&gateway), 1);
    gateway.logs("1 workers by ");
}

#[test]
fn version_and_help_name_themselves() {
    let prefix = Prefix::new("");
    assert!(printed(&prefix.run(&["version"])).starts_with("moongate "));
    let help = printed(&prefix.run(&["--help"]));
    for verb in ["start", "stop", "quit", "reload", "test", "plugin", "health", "version"] {
        assert!(help.contains(&format!("  {verb} ")), "{help}");
    }
}
