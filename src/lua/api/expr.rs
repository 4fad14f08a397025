//! `host.expr`: `vars` expressions over a Lua table.

use std::{borrow::Cow, cell::RefCell};

use mlua::{Lua, Table, UserData, UserDataMethods, Value};

use super::{convert::from_lua, raise};
use crate::route::expr::{Expr, VarValue, Vars};

/// Nesting to which a table that is a variable is read.
const LIST_DEPTH_MAX: usize = 8;

/// Fills `host.expr`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    table.raw_set(
        "new",
        lua.create_function(|lua, rule: Value| {
            let rule = match from_lua(lua, &rule) {
                Ok(rule) => rule,
                Err(mlua::Error::RuntimeError(why)) => return Ok(Err(why)),
                Err(error) => return Err(error),
            };
            match Expr::compile(&rule) {
                Ok(expr) => Ok(Ok(lua.create_userdata(Compiled(expr))?)),
                Err(why) => Ok(Err(why)),
            }
        })?,
    )?;
    host.raw_set("expr", table)
}

struct Compiled(Expr);

impl UserData for Compiled {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("eval", |lua, own, vars: Value| {
            let Value::Table(vars) = vars else {
                return Err(raise(lua, "bad argument #1 to 'eval' (table expected)"));
            };
            let vars = LuaVars { table: &vars, raised: RefCell::new(None) };
            let verdict = own.0.eval(&vars);
            if let Some(error) = vars.raised.into_inner() {
                return Err(error);
            }
            Ok(verdict.map_err(|error| error.to_string()))
        });
    }
}

/// Variables read from a Lua table, `__index` included.
struct LuaVars<'v> {
    table: &'v Table,
    /// What an `__index` of the table raised; the evaluation itself sees nil.
    raised: RefCell<Option<mlua::Error>>,
}

impl Vars for LuaVars<'_> {
    fn get(&self, name: &str) -> Option<VarValue<'_>> {
        match self.table.get::<Value>(name) {
            Ok(value) => var_value(&value, 0),
            Err(error) => {
                self.raised.borrow_mut().get_or_insert(error);
                None
            }
        }
    }
}

fn var_value(value: &Value, depth: usize) -> Option<VarValue<'static>> {
    Some(match value {
        Value::String(text) => VarValue::Str(Cow::Owned(text.as_bytes().to_vec())),
        Value::Integer(number) => VarValue::Num(*number as f64),
        Value::Number(number) => VarValue::Num(*number),
        Value::Boolean(flag) => VarValue::Bool(*flag),
        Value::Table(table) if depth < LIST_DEPTH_MAX => {
            let items = table.sequence_values::<Value>();
            let items = items.filter_map(|item| var_value(&item.ok()?, depth + 1));
            VarValue::List(items.collect())
        }
        _ => return None,
    })
}
