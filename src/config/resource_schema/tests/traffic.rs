//! Routes, services, upstreams.

use super::check;

#[test]
fn route_accepted() {
    check(
        "route",
        &[
            (
                r#"{"uri":"/hello","upstream":{"nodes":{"127.0.0.1:1980":1}}}"#,
                Ok(
                    r#"{"upstream":{"type":"roundrobin","scheme":"http","pass_host":"pass","nodes":{"127.0.0.1:1980":1},"hash_on":"vars"},"uri":"/hello","status":1,"priority":0}"#,
                ),
            ),
            (
                r#"{"uri":"/hello","plugins":{}}"#,
                Ok(r#"{"priority":0,"uri":"/hello","plugins":{},"status":1}"#),
            ),
            (
                r#"{"uris":["/a","/b"],"service_id":1,"hosts":["*.foo.com","[::1]"],"methods":["GET"],"remote_addr":"10.0.0.0/8","vars":[["arg_x","==","1"]],"status":0,"priority":10}"#,
                Ok(
                    r#"{"vars":[["arg_x","==","1"]],"priority":10,"service_id":1,"uris":["/a","/b"],"status":0,"hosts":["*.foo.com","[::1]"],"remote_addr":"10.0.0.0/8","methods":["GET"]}"#,
                ),
            ),
        ],
    );
}

#[test]
fn route_refused() {
    check(
        "route",
        &[
            (
                r#"{"uri":"/hello"}"#,
                Err(
                    r#"object matches none of the required: ["plugins","uri"] or ["upstream","uri"] or ["upstream_id","uri"] or ["service_id","uri"] or ["plugins","uris"] or ["upstream","uris"] or ["upstream_id","uris"] or ["service_id","uris"] or ["script","uri"] or ["script","uris"]"#,
                ),
            ),
            (
                r#"{"plugins":{}}"#,
                Err("allOf 1 failed: value should match only one schema, but matches none"),
            ),
            (
                r#"{"uri":"/a","uris":["/b"],"plugins":{}}"#,
                Err(
                    "allOf 1 failed: value should match only one schema, but matches both schemas 1 and 2",
                ),
            ),
            (
                r#"{"uri":"/a","plugins":{},"host":"a","hosts":["b"]}"#,
                Err(
                    "allOf 2 failed: value should match only one schema, but matches both schemas 2 and 3",
                ),
            ),
            (
                r#"{"uri":"/a","plugins":{},"host":"a b"}"#,
                Err(
                    r#"property "host" validation failed: failed to match pattern "^\\*$|^\\*?[0-9a-zA-Z-._\\[\\]:]+$" with "a b""#,
                ),
            ),
            (
                r#"{"uri":"/a","plugins":{},"methods":["GETT"]}"#,
                Err(
                    r#"property "methods" validation failed: failed to validate item 1: matches none of the enum values"#,
                ),
            ),
            (
                r#"{"uris":["/a","/a"],"plugins":{}}"#,
                Err(
                    r#"property "uris" validation failed: expected unique items but items 1 and 2 are equal"#,
                ),
            ),
            (
                r#"{"uri":"","plugins":{}}"#,
                Err(
                    r#"property "uri" validation failed: string too short, expected at least 1, got 0"#,
                ),
            ),
            (
                r#"{"uri":1,"plugins":{}}"#,
                Err(r#"property "uri" validation failed: wrong type: expected string, got number"#),
            ),
            (
                r#"{"uri":"/a","plugins":{},"invalid_property":1}"#,
                Err("additional properties forbidden, found invalid_property"),
            ),
        ],
    );
}

#[test]
fn route_also_refused() {
    check(
        "route",
        &[
            (
                r#"{"uri":"/a","plugins":{},"remote_addr":"127.0.0.24/33"}"#,
                Err(
                    r#"property "remote_addr" validation failed: object matches none of the required"#,
                ),
            ),
            (
                r#"{"uri":"/a","plugins":{},"status":2}"#,
                Err(r#"property "status" validation failed: matches none of the enum values"#),
            ),
            (
                r#"{"uri":"/a","plugins":{},"service_id":"inval id"}"#,
                Err(
                    r#"property "service_id" validation failed: object matches none of the required"#,
                ),
            ),
            (
                r#"{"uri":"/a","plugins":{},"filter_func":"x = function() end"}"#,
                Err(
                    r#"property "filter_func" validation failed: failed to match pattern "^function" with "x = function() end""#,
                ),
            ),
            (
                r#"{"uri":"/a","script":"local _M = {}","plugins":{}}"#,
                Err("value wasn't supposed to match schema"),
            ),
            (
                r#"{"uri":"/a","plugins":{},"timeout":{"connect":1,"send":1}}"#,
                Err(r#"property "timeout" validation failed: property "read" is required"#),
            ),
            (
                r#"{"uri":"/a","upstream":{"nodes":{"a":-1}}}"#,
                Err(
                    r#"property "upstream" validation failed: property "nodes" validation failed: object matches none of the required"#,
                ),
            ),
            (
                r#"{"uri":"/a","plugins":{},"labels":{"env":"a b"}}"#,
                Err(
                    r#"property "labels" validation failed: failed to validate env (matching ".*"): failed to match pattern "^\\S+$" with "a b""#,
                ),
            ),
        ],
    );
}

#[test]
fn service_objects() {
    check(
        "service",
        &[
            (
                r#"{"upstream":{"nodes":{"127.0.0.1:1980":1}},"enable_websocket":true}"#,
                Ok(
                    r#"{"upstream":{"type":"roundrobin","scheme":"http","pass_host":"pass","nodes":{"127.0.0.1:1980":1},"hash_on":"vars"},"enable_websocket":true}"#,
                ),
            ),
            ("{}", Ok("{}")),
            (
                r#"{"upstream":{}}"#,
                Err(
                    r#"property "upstream" validation failed: value should match only one schema, but matches none"#,
                ),
            ),
            (
                r#"{"hosts":[]}"#,
                Err(r#"property "hosts" validation failed: expect array to have at least 1 items"#),
            ),
            (
                r#"{"plugins":1}"#,
                Err(
                    r#"property "plugins" validation failed: wrong type: expected object, got number"#,
                ),
            ),
            (r#"{"nodes":{}}"#, Err("additional properties forbidden, found nodes")),
        ],
    );
}

#[test]
fn upstream_accepted() {
    check(
        "upstream",
        &[
            (
                r#"{"nodes":{"127.0.0.1:8080":1},"type":"chash","key":"remote_addr"}"#,
                Ok(
                    r#"{"type":"chash","scheme":"http","key":"remote_addr","pass_host":"pass","nodes":{"127.0.0.1:8080":1},"hash_on":"vars"}"#,
                ),
            ),
            (
                r#"{"nodes":[{"host":"a","weight":0}],"scheme":"grpc","retries":0}"#,
                Ok(
                    r#"{"type":"roundrobin","scheme":"grpc","retries":0,"pass_host":"pass","nodes":[{"host":"a","priority":0,"weight":0}],"hash_on":"vars"}"#,
                ),
            ),
            (
                r#"{"service_name":"u","discovery_type":"dns"}"#,
                Ok(
                    r#"{"discovery_type":"dns","scheme":"http","type":"roundrobin","pass_host":"pass","service_name":"u","hash_on":"vars"}"#,
                ),
            ),
            (
                r#"{"nodes":{}}"#,
                Ok(
                    r#"{"type":"roundrobin","scheme":"http","pass_host":"pass","nodes":{},"hash_on":"vars"}"#,
                ),
            ),
            (
                r#"{"nodes":{},"checks":{"active":{"req_headers":["a: b"],"healthy":{},"unhealthy":{"interval":2}},"passive":{"unhealthy":{}}}}"#,
                Ok(
                    r#"{"type":"roundrobin","scheme":"http","checks":{"passive":{"type":"http","unhealthy":{"tcp_failures":2,"http_statuses":[429,500,503],"timeouts":7,"http_failures":5}},"active":{"type":"http","healthy":{"http_statuses":[200,302],"interval":1,"successes":2},"timeout":1,"concurrency":10,"req_headers":["a: b"],"http_req_body":"","https_verify_certificate":true,"http_method":"GET","http_path":"/","unhealthy":{"timeouts":3,"http_statuses":[429,404,500,501,502,503,504,505],"interval":2,"http_failures":5,"tcp_failures":2}}},"pass_host":"pass","nodes":{},"hash_on":"vars"}"#,
                ),
            ),
            (
                r#"{"nodes":{},"keepalive_pool":{}}"#,
                Ok(
                    r#"{"type":"roundrobin","scheme":"http","keepalive_pool":{"size":320,"idle_timeout":60,"requests":1000},"pass_host":"pass","nodes":{},"hash_on":"vars"}"#,
                ),
            ),
            (
                r#"{"nodes":{},"tls":{"client_cert":"@CERT","client_key":"@KEY"}}"#,
                Ok(
                    r#"{"type":"roundrobin","scheme":"http","tls":{"client_key":"@KEY","verify":false,"client_cert":"@CERT"},"pass_host":"pass","nodes":{},"hash_on":"vars"}"#,
                ),
            ),
        ],
    );
}

#[test]
fn upstream_refused() {
    check(
        "upstream",
        &[
            (
                r#"{"type":"roundrobin"}"#,
                Err("value should match only one schema, but matches none"),
            ),
            (
                r#"{"nodes":{},"service_name":"u","discovery_type":"dns"}"#,
                Err("value should match only one schema, but matches both schemas 1 and 2"),
            ),
            (
                r#"{"nodes":[{"host":"a","port":0,"weight":1}]}"#,
                Err(r#"property "nodes" validation failed: object matches none of the required"#),
            ),
            (
                r#"{"nodes":{"a":1.5}}"#,
                Err(r#"property "nodes" validation failed: object matches none of the required"#),
            ),
            (
                r#"{"nodes":{},"retries":-1}"#,
                Err(r#"property "retries" validation failed: expected -1 to be at least 0"#),
            ),
            (
                r#"{"nodes":{},"retry_timeout":-1}"#,
                Err(r#"property "retry_timeout" validation failed: expected -1 to be at least 0"#),
            ),
            (
                r#"{"nodes":{},"hash_on":"x"}"#,
                Err(r#"property "hash_on" validation failed: matches none of the enum values"#),
            ),
            (
                r#"{"nodes":{},"pass_host":"x"}"#,
                Err(r#"property "pass_host" validation failed: matches none of the enum values"#),
            ),
            (
                r#"{"nodes":{},"scheme":"x"}"#,
                Err(r#"property "scheme" validation failed: matches none of the enum values"#),
            ),
            (
                r#"{"nodes":{},"checks":{"passive":{}}}"#,
                Err(
                    r#"property "checks" validation failed: object matches none of the required: ["active"] or ["active","passive"]"#,
                ),
            ),
        ],
    );
}

#[test]
fn upstream_also_refused() {
    check(
        "upstream",
        &[
            (
                r#"{"nodes":{},"checks":{"active":{"healthy":{"successes":255}}}}"#,
                Err(
                    r#"property "checks" validation failed: property "active" validation failed: property "healthy" validation failed: property "successes" validation failed: expected 255 to be at most 254"#,
                ),
            ),
            (
                r#"{"nodes":{},"checks":{"active":{"unhealthy":{"http_statuses":[]}}}}"#,
                Err(
                    r#"property "checks" validation failed: property "active" validation failed: property "unhealthy" validation failed: property "http_statuses" validation failed: expect array to have at least 1 items"#,
                ),
            ),
            (
                r#"{"nodes":{},"keepalive_pool":{"size":0}}"#,
                Err(
                    r#"property "keepalive_pool" validation failed: property "size" validation failed: expected 0 to be at least 1"#,
                ),
            ),
            (
                r#"{"nodes":{},"tls":{"client_cert":"@CERT"}}"#,
                Err(
                    r#"property "tls" validation failed: failed to validate dependent schema for "client_cert": property "client_key" is required"#,
                ),
            ),
            (
                r#"{"nodes":{},"tls":{"client_cert_id":1,"client_cert":"@CERT","client_key":"@KEY"}}"#,
                Err(
                    r#"property "tls" validation failed: failed to validate dependent schema for "client_cert_id": value wasn't supposed to match schema"#,
                ),
            ),
            (
                r#"{"nodes":{},"timeout":{"connect":0,"send":1,"read":1}}"#,
                Err(
                    r#"property "timeout" validation failed: property "connect" validation failed: expected 0 to be greater than 0"#,
                ),
            ),
        ],
    );
}

#[test]
fn stream_route_objects() {
    check(
        "stream_route",
        &[
            (
                r#"{"server_port":9100,"remote_addr":"127.0.0.1","sni":"a.com","upstream":{"nodes":{"127.0.0.1:1980":1}}}"#,
                Ok(
                    r#"{"upstream":{"nodes":{"127.0.0.1:1980":1},"pass_host":"pass","scheme":"http","hash_on":"vars","type":"roundrobin"},"remote_addr":"127.0.0.1","server_port":9100,"sni":"a.com"}"#,
                ),
            ),
            (
                r#"{"protocol":{"name":"redis","logger":[{"name":"syslog","conf":{}}]}}"#,
                Ok(r#"{"protocol":{"logger":[{"conf":{},"name":"syslog"}],"name":"redis"}}"#),
            ),
            (
                r#"{"server_port":65536}"#,
                Err(
                    r#"property "server_port" validation failed: expected 65536 to be at most 65535"#,
                ),
            ),
            (
                r#"{"server_addr":"a"}"#,
                Err(
                    r#"property "server_addr" validation failed: object matches none of the required"#,
                ),
            ),
            (
                r#"{"protocol":{}}"#,
                Err(r#"property "protocol" validation failed: property "name" is required"#),
            ),
            (
                r#"{"protocol":{"name":"x","logger":[{"name":"syslog"}]}}"#,
                Err(
                    r#"property "protocol" validation failed: property "logger" validation failed: failed to validate item 1: property "conf" is required when "name" is set"#,
                ),
            ),
            (r#"{"uri":"/"}"#, Err("additional properties forbidden, found uri")),
        ],
    );
}
