//! What holds of the dialect as a whole: recorded frames, calls and answers.

mod dialect;
mod heads;
mod json;
mod recorded;
mod schema;
mod squeeze;

use super::{Dialect, schema::Schema};
use crate::codec::registry::Source;

/// A description with every kind of field.
const PROTO: &str = r#"
syntax = "proto3";
package trpc.app.demo;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "trpc.proto";

enum Color { COLOR_UNSET = 0; RED = 1; BLUE = -2; }

message Inner { string name = 1; repeated Inner children = 2; int64 weight = 3; }

message All {
  int32 a_int32 = 1; int64 a_int64 = 2; uint32 a_uint32 = 3; uint64 a_uint64 = 4;
  sint32 a_sint32 = 5; sint64 a_sint64 = 6; fixed32 a_fixed32 = 7; fixed64 a_fixed64 = 8;
  sfixed32 a_sfixed32 = 9; sfixed64 a_sfixed64 = 10; float a_float = 11; double a_double = 12;
  bool a_bool = 13; string a_string = 14; bytes a_bytes = 15; Color color = 16;
  Inner inner = 17; repeated int32 numbers = 18; repeated Inner inners = 19;
  map<string, int64> by_name = 20; map<int32, Inner> by_id = 21; map<bool, string> by_truth = 22;
  oneof one { string text = 23; int32 number = 24; }
  optional int32 maybe = 25;
  google.protobuf.Timestamp at = 26; google.protobuf.Duration lasts = 27;
  google.protobuf.Struct free = 28; google.protobuf.Any any = 29;
  google.protobuf.Int64Value boxed = 30; google.protobuf.BoolValue flag = 31;
  repeated Color colors = 32; repeated bytes blobs = 33; All again = 34;
}

service Demo {
  rpc Echo(All) returns (All);
  rpc Named(Inner) returns (Inner) { option (trpc.alias) = "/v1/named"; }
  rpc Watch(Inner) returns (stream Inner);
}
"#;

fn source(text: &str) -> Source<'_> {
    Source { name: "demo.proto", text: text.as_bytes() }
}

fn compiled() -> Schema {
    Schema::compile(&[source(PROTO)]).expect("the description compiles")
}

fn dialect(options: serde_json::Value) -> Dialect {
    Dialect::new(&options, &[]).expect("the options are good")
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}
