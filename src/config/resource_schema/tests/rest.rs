//! Consumers, certificates, carriers of plugins, and all else.

use super::check;

#[test]
fn consumer_objects() {
    check(
        "consumer",
        &[
            (
                r#"{"username":"jack","plugins":{"key-auth":{}}}"#,
                Ok(r#"{"username":"jack","plugins":{"key-auth":{}}}"#),
            ),
            (
                r#"{"username":"jack-1_A","group_id":"g"}"#,
                Ok(r#"{"username":"jack-1_A","group_id":"g"}"#),
            ),
            ("{}", Err(r#"property "username" is required"#)),
            (
                r#"{"username":"ja ck"}"#,
                Err(
                    r#"property "username" validation failed: failed to match pattern "^[a-zA-Z0-9_\\-]+$" with "ja ck""#,
                ),
            ),
            (r#"{"username":"jack","key":"x"}"#, Err("additional properties forbidden, found key")),
        ],
    );
}

#[test]
fn credential_objects() {
    check(
        "credential",
        &[
            (
                r#"{"plugins":{"key-auth":{"key":"k"}}}"#,
                Ok(r#"{"plugins":{"key-auth":{"key":"k"}}}"#),
            ),
            (
                r#"{"id":"jack/credentials/c1","plugins":{}}"#,
                Ok(r#"{"id":"jack/credentials/c1","plugins":{}}"#),
            ),
            (
                r#"{"plugins":{"a":{},"b":{}}}"#,
                Err(
                    r#"property "plugins" validation failed: expect object to have at most 1 properties"#,
                ),
            ),
            (
                r#"{"id":"jack/x"}"#,
                Err(
                    r#"property "id" validation failed: value should match only one schema, but matches none"#,
                ),
            ),
        ],
    );
}

#[test]
fn consumer_group_objects() {
    check(
        "consumer_group",
        &[
            (r#"{"id":"g","plugins":{}}"#, Ok(r#"{"id":"g","plugins":{}}"#)),
            (r#"{"id":"g"}"#, Err(r#"property "plugins" is required"#)),
            (
                r#"{"id":"g","plugins":{},"name":""}"#,
                Err(
                    r#"property "name" validation failed: string too short, expected at least 1, got 0"#,
                ),
            ),
        ],
    );
}

#[test]
fn plugin_config_objects() {
    check(
        "plugin_config",
        &[
            (r#"{"id":1,"plugins":{},"name":""}"#, Ok(r#"{"id":1,"plugins":{},"name":""}"#)),
            (r#"{"plugins":{}}"#, Err(r#"property "id" is required"#)),
            (
                r#"{"id":0,"plugins":{}}"#,
                Err(r#"property "id" validation failed: object matches none of the required"#),
            ),
        ],
    );
}

#[test]
fn global_rule_objects() {
    check(
        "global_rule",
        &[
            (
                r#"{"id":"1","plugins":{"prometheus":{}}}"#,
                Ok(r#"{"id":"1","plugins":{"prometheus":{}}}"#),
            ),
            (r#"{"id":"1"}"#, Err(r#"property "plugins" is required"#)),
            (
                r#"{"id":"1","plugins":{},"name":"x"}"#,
                Err("additional properties forbidden, found name"),
            ),
        ],
    );
}

#[test]
fn plugin_metadata_objects() {
    check(
        "plugin_metadata",
        &[
            (
                r#"{"id":"http-logger","log_format":{"host":"$host"}}"#,
                Ok(r#"{"id":"http-logger","log_format":{"host":"$host"}}"#),
            ),
            (
                r#"{"id":""}"#,
                Err(
                    r#"property "id" validation failed: string too short, expected at least 1, got 0"#,
                ),
            ),
        ],
    );
}

#[test]
fn ssl_objects() {
    check(
        "ssl",
        &[
            (
                r#"{"cert":"@CERT","key":"@KEY","sni":"test.com"}"#,
                Ok(r#"{"type":"server","sni":"test.com","key":"@KEY","cert":"@CERT","status":1}"#),
            ),
            (
                r#"{"cert":"@CERT","key":"@KEY","snis":["*.test.com"],"ssl_protocols":["TLSv1.2"],"client":{"ca":"@CERT"}}"#,
                Ok(
                    r#"{"ssl_protocols":["TLSv1.2"],"type":"server","status":1,"key":"@KEY","cert":"@CERT","snis":["*.test.com"],"client":{"ca":"@CERT","depth":1}}"#,
                ),
            ),
            (
                r#"{"type":"client","cert":"@CERT","key":"@KEY"}"#,
                Ok(r#"{"type":"client","cert":"@CERT","status":1,"key":"@KEY"}"#),
            ),
            (r#"{"cert":"@CERT","key":"@KEY"}"#, Err("then clause did not match")),
            (r#"{"type":"client","cert":"@CERT"}"#, Err("else clause did not match")),
            (
                r#"{"cert":"short","key":"@KEY","sni":"a"}"#,
                Err(
                    r#"property "cert" validation failed: string too short, expected at least 128, got 5"#,
                ),
            ),
            (
                r#"{"cert":"@CERT","key":"@KEY","snis":[]}"#,
                Err(r#"property "snis" validation failed: expect array to have at least 1 items"#),
            ),
            (
                r#"{"cert":"@CERT","key":"@KEY","sni":"a","ssl_protocols":["SSLv3"]}"#,
                Err(
                    r#"property "ssl_protocols" validation failed: failed to validate item 1: matches none of the enum values"#,
                ),
            ),
            (
                r#"{"cert":"@CERT","key":"@KEY","sni":"a","client":{}}"#,
                Err(r#"property "client" validation failed: property "ca" is required"#),
            ),
            (
                r#"{"cert":"@CERT","key":"@KEY","sni":"a","type":"x"}"#,
                Err(r#"property "type" validation failed: matches none of the enum values"#),
            ),
        ],
    );
}

#[test]
fn proto_objects() {
    check(
        "proto",
        &[
            (r#"{"content":"syntax = \"proto3\";"}"#, Ok(r#"{"content":"syntax = \"proto3\";"}"#)),
            ("{}", Err(r#"property "content" is required"#)),
            (
                r#"{"content":""}"#,
                Err(
                    r#"property "content" validation failed: string too short, expected at least 1, got 0"#,
                ),
            ),
        ],
    );
}

#[test]
fn plugins_objects() {
    check(
        "plugins",
        &[
            (
                r#"[{"name":"cors"},{"name":"mqtt-proxy","stream":true}]"#,
                Ok(r#"[{"name":"cors"},{"stream":true,"name":"mqtt-proxy"}]"#),
            ),
            (
                r#"[{"stream":true}]"#,
                Err(r#"failed to validate item 1: property "name" is required"#),
            ),
            (
                r#"[{"name":""}]"#,
                Err(
                    r#"failed to validate item 1: property "name" validation failed: string too short, expected at least 1, got 0"#,
                ),
            ),
        ],
    );
}

#[test]
fn graphql_cost_decoration_objects() {
    check(
        "graphql_cost_decoration",
        &[
            (
                r#"{"field_path":"Query.products"}"#,
                Ok(r#"{"mul_value":1,"field_path":"Query.products","add_value":1}"#),
            ),
            (
                r#"{"field_path":"1"}"#,
                Err(
                    r#"property "field_path" validation failed: failed to match pattern "^[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)*$" with "1""#,
                ),
            ),
            (
                r#"{"field_path":"Q","add_value":-1}"#,
                Err(r#"property "add_value" validation failed: expected -1 to be at least 0"#),
            ),
        ],
    );
}

#[test]
fn secret_objects() {
    check(
        "secret",
        &[
            (r#"{"id":"vault/1","uri":"x"}"#, Ok(r#"{"id":"vault/1","uri":"x"}"#)),
            (
                r#"{"id":""}"#,
                Err(
                    r#"property "id" validation failed: string too short, expected at least 1, got 0"#,
                ),
            ),
        ],
    );
}

#[test]
fn secret_vault_objects() {
    check(
        "secret/vault",
        &[
            (
                r#"{"uri":"http://127.0.0.1:8200","prefix":"kv","token":"t"}"#,
                Ok(r#"{"prefix":"kv","uri":"http://127.0.0.1:8200","token":"t"}"#),
            ),
            (
                r#"{"uri":"127.0.0.1:8200","prefix":"kv","token":"t"}"#,
                Err(
                    r#"property "uri" validation failed: failed to match pattern "^[^\\/]+:\\/\\/([\\da-zA-Z.-]+|\\[[\\da-fA-F:]+\\])(:\\d+)?" with "127.0.0.1:8200""#,
                ),
            ),
            (r#"{"uri":"http://v","prefix":"kv"}"#, Err(r#"property "token" is required"#)),
        ],
    );
}

#[test]
fn secret_aws_objects() {
    check(
        "secret/aws",
        &[
            (
                r#"{"access_key_id":"a","secret_access_key":"s"}"#,
                Ok(r#"{"region":"us-east-1","access_key_id":"a","secret_access_key":"s"}"#),
            ),
            (r#"{"access_key_id":"a"}"#, Err(r#"property "secret_access_key" is required"#)),
        ],
    );
}

#[test]
fn secret_gcp_objects() {
    check(
        "secret/gcp",
        &[
            (r#"{"auth_file":"/f"}"#, Ok(r#"{"ssl_verify":true,"auth_file":"/f"}"#)),
            (
                r#"{"auth_config":{"client_email":"a","private_key":"b","project_id":"c"}}"#,
                Ok(
                    r#"{"auth_config":{"entries_uri":"https://secretmanager.googleapis.com/v1","client_email":"a","private_key":"b","project_id":"c","token_uri":"https://oauth2.googleapis.com/token","scope":["https://www.googleapis.com/auth/cloud-platform"]},"ssl_verify":true}"#,
                ),
            ),
            (
                r#"{"auth_config":{}}"#,
                Err(
                    r#"property "auth_config" validation failed: property "client_email" is required"#,
                ),
            ),
            ("{}", Err("value should match only one schema, but matches none")),
        ],
    );
}
