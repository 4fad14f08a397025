//! Tests of [`super`].

use super::*;
use serde_json::json;

fn env(name: &str) -> Option<String> {
    (name == "PORT").then(|| "9081".to_owned())
}

fn read(text: &str) -> Result<Loaded, Vec<Problem>> {
    parse(text, "config.yaml", &env)
}

fn errors(text: &str) -> Vec<String> {
    read(text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_is_the_defaults() {
    for text in ["", "# only a comment\n", "apisix:\n"] {
        let local = read(text).unwrap().local;
        assert_eq!(local.workers, WorkerCount::Auto);
        if !text.starts_with("apisix") {
            assert_eq!(local.node_listen.len(), 2);
            assert_eq!(local.node_listen[0].port, 9080);
            assert!(local.node_listen[1].optional && local.node_listen[1].ip.is_ipv6());
        }
    }
    let local = Local::defaults(&env).unwrap();
    assert_eq!(local.keepalive_timeout, Duration::from_secs(60));
    assert_eq!(local.send_timeout, Duration::from_secs(10));
    assert_eq!(local.large_client_header_buffers, (4, 8192));
    assert!(local.underscores_in_headers && !local.real_ip_recursive);
    assert_eq!(local.shared_dicts["plugin-limit-count"], 10 << 20);
    assert_eq!(local.shared_dicts["cas_sessions"], 10 << 20);
    assert_eq!(local.status.1, 7085);
    assert_eq!(local.control.unwrap().1, 9090);
    assert_eq!(local.trusted_addresses, None);
    assert_eq!(local.missing("any"), PluginMissing::Refuse);
    assert!(local.plugins.iter().any(|name| name == "key-auth"));
    assert!(!local.plugins.iter().any(|name| name == "example-plugin"));
    assert_eq!((local.provider, local.named), (None, Named::default()));
    assert_eq!(local.memory.resume_bytes_max, 64 << 20);
}

#[test]
fn a_file_is_merged_over_the_defaults() {
    let text = "
apisix:
  node_listen: ${{PORT}}
  enable_ipv6: off
  trusted_addresses: [10.0.0.0/8]
nginx_config:
  worker_processes: 3
  http:
    access_log_format: 'x ${{NONE:=y}}'
    upstream: {keepalive: 7}
    custom_lua_shared_dict: {mine: 1m}
plugins: [a, b]
plugin_attr:
  log-rotate: {interval: 60}
  proxy-mirror: {timeout: {connect: 500ms, send: null}}
deployment:
  role: data_plane
  role_data_plane: {config_provider: json}
moongate:
  plugin_missing_by_name: {a: skip}
";
    let Loaded { local, warnings } = read(text).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let any = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    let only = Listen { ip: any, port: 9081, enable_http2: true, optional: false };
    assert_eq!(local.node_listen, [only]);
    assert_eq!(local.workers, WorkerCount::Fixed(3));
    assert_eq!(local.access_log.format, "x y");
    assert_eq!((local.upstream_keepalive, local.upstream_keepalive_requests), (7, 1000));
    assert_eq!(local.shared_dicts["mine"], 1 << 20);
    let connect = Duration::from_millis(500);
    assert_eq!(local.mirror_timeout, Timeout { connect, ..Timeout::default() });
    assert_eq!(local.plugins, ["a", "b"]);
    assert_eq!(
        local.plugin_attr["log-rotate"],
        json!({
            "timeout": 10000, "interval": 60, "max_kept": 168, "max_size": -1,
            "enable_compression": false
        })
    );
    assert_eq!(local.standalone, Format::Json);
    assert_eq!(local.raw["apisix"]["enable_admin"], false);
    assert_eq!(local.missing("a"), PluginMissing::Skip);
    assert_eq!(local.trusted_addresses.as_deref(), Some(&["10.0.0.0/8".to_owned()][..]));
}

#[test]
fn all_problems_are_told_at_once_with_their_lines() {
    let text = "
apisix:
  node_listen: [99999]
  status: {port: x}
  enable_http2: maybe
nginx_config:
  http:
    send_timeout: soon
    real_ip_header: ${{GONE}}
  worker_processes: 0
plugin_attr: 5
deployment: {role: king}
";
    let errors = errors(text);
    for expected in [
        "config.yaml:3: apisix.node_listen.0 must be a port",
        "config.yaml:4: failed to merge, path[apisix->status->port] expect: number",
        "config.yaml:5: failed to merge, path[apisix->enable_http2] expect: boolean",
        "config.yaml:8: nginx_config.http.send_timeout must be a time",
        "config.yaml:9: failed to handle configuration: can't find environment variable GONE",
        "config.yaml:10: nginx_config.worker_processes must be auto",
        "config.yaml:11: failed to merge, path[plugin_attr] expect: table, but got: number",
        "config.yaml:12: deployment.role must be",
    ] {
        assert!(errors.iter().any(|error| error.starts_with(expected)), "{expected}: {errors:#?}");
    }
}

#[test]
fn a_role_decides_over_the_admin_api_and_the_provider() {
    let of = |text: &str| {
        let local = read(text).unwrap().local;
        (local.role, local.enable_admin, local.provider)
    };
    assert_eq!(of(""), (Role::Traditional, true, None));
    let control = "apisix: {enable_admin: false}\ndeployment: {role: control_plane, \
                   role_control_plane: {config_provider: etcd}}";
    assert_eq!(of(control), (Role::ControlPlane, true, Some(Provider::Etcd)));
    let data = "apisix: {enable_admin: true}\ndeployment: {role: data_plane}";
    assert_eq!(of(data), (Role::DataPlane, false, None));
    for (role, provider, may) in [
        ("control_plane", "yaml", "etcd"),
        ("control_plane", "json", "etcd"),
        ("control_plane", "embedded", "etcd"),
        ("data_plane", "embedded", "etcd, yaml or json"),
        ("data_plane", "xds", "etcd, yaml or json"),
        ("traditional", "xds", "etcd, yaml, json or embedded"),
    ] {
        let path = format!("deployment.role_{role}.config_provider");
        let text =
            format!("deployment:\n  role: {role}\n  role_{role}: {{config_provider: {provider}}}");
        let want = format!("config.yaml:3: {path} must be {may}, not \"{provider}\"");
        assert_eq!(errors(&text), [want]);
    }
}

#[test]
fn what_is_not_known_or_not_done_is_a_warning() {
    let text = "apisix:\n  ssl: {enable: true}\n  foo: 1\n";
    let warnings: Vec<_> = read(text).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings[0], "config.yaml:2: warning: apisix.ssl is not supported by moongate yet");
    assert_eq!(warnings[1], "config.yaml:3: warning: unknown key apisix.foo, ignored");
}

#[test]
fn a_file_that_is_no_mapping_or_no_yaml_is_refused() {
    assert!(errors("[1]")[0].contains("expected a mapping"));
    assert!(errors("a: [1\n")[0].starts_with("config.yaml:"));
}

#[test]
fn a_null_takes_a_default_away() {
    let local = read("apisix: {control: }\nplugin_attr: {prometheus: }\n").unwrap().local;
    assert_eq!(local.plugin_attr.get("prometheus"), None);
    assert_eq!(local.control.unwrap().1, 9090);
}

#[test]
fn changes_that_need_a_restart_are_named() {
    let old = read("").unwrap().local;
    let new = read("apisix: {node_listen: 1}\nplugins: []\n").unwrap().local;
    assert_eq!(restart_keys(&old, &new), ["apisix.node_listen"]);
    assert!(new.plugins.is_empty());
}

#[test]
fn the_profile_names_the_files() {
    let prefix = Path::new("/p");
    assert_eq!(path(prefix, &env), Path::new("/p/conf/config.yaml"));
    let profile = |name: &str| (name == "APISIX_PROFILE").then(|| "dev".to_owned());
    assert_eq!(path(prefix, &profile), Path::new("/p/conf/config-dev.yaml"));
    assert_eq!(
        standalone_path(prefix, Format::Json, &profile),
        Path::new("/p/conf/apisix-dev.json")
    );
}

#[test]
fn the_shipped_file_has_no_problem() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/config.yaml");
    let loaded = load(Path::new(shipped), &env).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn added_plugins_join_the_list() {
    let local = read("moongate: {add_plugins: [mine, key-auth]}").unwrap().local;
    assert_eq!(local.plugins.last().map(String::as_str), Some("mine"));
    assert_eq!(local.plugins.iter().filter(|name| *name == "key-auth").count(), 1);
    let local = read("plugins: [a]\nmoongate: {add_plugins: [b]}").unwrap().local;
    assert_eq!(local.plugins, ["a", "b"]);
    assert_eq!(
        errors("moongate: {add_plugins: mine}"),
        ["config.yaml:1: moongate.add_plugins must be a list of plugin names, not \"mine\""]
    );
}
