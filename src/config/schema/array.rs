//! The items of an array.

use serde_json::Value;

use super::{
    check::{Fail, Path, Run},
    equal, message,
    node::{Additional, ArrayRule, Items, NodeId},
};

impl<'r> Run<'r> {
    /// Checks the items of `value`, an array or an empty object.
    pub(super) fn array(
        &mut self,
        rule: &'r ArrayRule,
        value: &mut Value,
        at: &Path<'_>,
    ) -> Result<(), Fail> {
        let items: &mut [Value] = match value {
            Value::Array(items) => items,
            _ => &mut [],
        };
        let count = items.len() as f64;
        if let Some(min) = rule.count_min.filter(|&min| count < min) {
            let min = message::number(min);
            return Err(self.fail(|| format!("expect array to have at least {min} items")));
        }
        if let Some(max) = rule.count_max.filter(|&max| count > max) {
            let max = message::number(max);
            return Err(self.fail(|| format!("expect array to have at most {max} items")));
        }
        match &rule.items {
            Items::Any => {}
            Items::Each(id) => self.each("item", *id, (0..).zip(items.iter_mut()), at)?,
            Items::Tuple(ids, additional) => self.tuple(ids, additional, items, at)?,
        }
        if rule.unique
            && let Some((first, second)) = equal::duplicate(items)
        {
            return Err(self.fail(|| {
                format!("expected unique items but items {first} and {second} are equal")
            }));
        }
        Ok(())
    }

    fn tuple(
        &mut self,
        ids: &'r [NodeId],
        additional: &'r Additional,
        items: &mut [Value],
        at: &Path<'_>,
    ) -> Result<(), Fail> {
        for ((index, item), &id) in items.iter_mut().enumerate().zip(ids) {
            self.each("item", id, [(index, item)].into_iter(), at)?;
        }
        let more = items.iter_mut().enumerate().skip(ids.len());
        match additional {
            Additional::Allowed => Ok(()),
            Additional::Forbidden if more.len() == 0 => Ok(()),
            Additional::Forbidden => Err(self.text_fail("found unexpected extra items in array")),
            Additional::Schema(id) => self.each("additional item", *id, more, at),
        }
    }

    fn each<'v>(
        &mut self,
        what: &str,
        id: NodeId,
        items: impl Iterator<Item = (usize, &'v mut Value)>,
        at: &Path<'_>,
    ) -> Result<(), Fail> {
        for (index, item) in items {
            self.node(id, item, &Path::Index(at, index)).map_err(|fail| {
                let number = index + 1;
                fail.prefixed(format_args!("failed to validate {what} {number}: "))
            })?;
        }
        Ok(())
    }

    /// `contains` with a schema, for a value that is not an empty table.
    pub(super) fn contains(
        &mut self,
        id: NodeId,
        value: &mut Value,
        at: &Path<'_>,
    ) -> Result<(), Fail> {
        let Value::Array(items) = value else { return Ok(()) };
        // Every item is looked at, also after a match: each may get defaults.
        let mut found = false;
        for (index, item) in items.iter_mut().enumerate() {
            found |= self.probe(id, item, &Path::Index(at, index))?;
        }
        if found { Ok(()) } else { Err(self.text_fail("failed to check contains")) }
    }
}
