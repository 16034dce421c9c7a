//! What arrays and maps can do beyond the interpreter's own functions.

use std::cmp::Ordering;

use rhai::{Array, Dynamic, FnPtr, NativeCallContext, export_module};

use super::closure;
use super::duration::Duration;
use super::failure::{Scripted, native};
use super::time::Time;
use super::value::type_phrase;
use crate::error::{Error, Result};

/// The order of two values of one kind: numbers, strings, times, durations, booleans.
fn order(left: &Dynamic, right: &Dynamic) -> Result<Ordering> {
    let number = |value: &Dynamic| value.as_int().map(|n| n as f64).or_else(|_| value.as_float()).ok();
    let object = |value: &Dynamic| {
        let duration = value
            .read_lock::<Duration>()
            .map(|duration| i128::from(duration.micros()));
        duration.or_else(|| value.read_lock::<Time>().map(|time| time.timestamp().as_nanosecond()))
    };
    let found = match (left.as_int(), right.as_int()) {
        (Ok(left), Ok(right)) => Some(left.cmp(&right)),
        _ if left.is_string() && right.is_string() => Some(left.to_string().cmp(&right.to_string())),
        _ if left.is_bool() && right.is_bool() => Some(left.as_bool().cmp(&right.as_bool())),
        _ if left.type_id() == right.type_id() && object(left).is_some() => Some(object(left).cmp(&object(right))),
        _ => number(left)
            .zip(number(right))
            .map(|(left, right)| left.total_cmp(&right)),
    };
    found.ok_or_else(|| {
        Error::invalid(format!(
            "{} and {} cannot be put in order",
            type_phrase(left),
            type_phrase(right)
        ))
    })
}

/// Items with what the closure returns for them.
fn keyed(ctx: &NativeCallContext, items: &Array, closure: &FnPtr) -> Scripted<Vec<(Dynamic, Dynamic)>> {
    let pair = |item: &Dynamic| Ok((closure::call(ctx, closure, (item.clone(),))?, item.clone()));
    items.iter().map(pair).collect()
}

/// The items in the order of their keys; equal ones stay as they are.
fn sorted(ctx: &NativeCallContext, mut pairs: Vec<(Dynamic, Dynamic)>) -> Scripted<Array> {
    native(ctx, |_| {
        let mut fault = None;
        pairs.sort_by(|(left, _), (right, _)| {
            order(left, right).unwrap_or_else(|error| {
                fault.get_or_insert(error);
                Ordering::Equal
            })
        });
        match fault {
            Some(error) => Err(error),
            None => Ok(pairs.into_iter().map(|(_, item)| item).collect()),
        }
    })
}

/// The item with the extreme key: the first one for which no other is `better`.
fn extreme(ctx: &NativeCallContext, pairs: Vec<(Dynamic, Dynamic)>, better: Ordering) -> Scripted<Dynamic> {
    native(ctx, |_| {
        let mut best: Option<(Dynamic, Dynamic)> = None;
        for pair in pairs {
            let wins = match &best {
                Some((key, _)) => order(&pair.0, key)? == better,
                None => true,
            };
            if wins {
                best = Some(pair);
            }
        }
        Ok(best.map_or(Dynamic::UNIT, |(_, item)| item))
    })
}

/// The sum of numbers, or of durations; 0 when there are none.
fn total(ctx: &NativeCallContext, values: Vec<Dynamic>) -> Scripted<Dynamic> {
    native(ctx, |_| {
        let mut values = values.into_iter();
        let Some(first) = values.next() else {
            return Ok(Dynamic::from(0_i64));
        };
        check_number(&first)?;
        values.try_fold(first, |sum, value| plus(&sum, &value))
    })
}

fn check_number(value: &Dynamic) -> Result<()> {
    match value.is_int() || value.is_float() || value.is::<Duration>() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "only numbers and durations have a sum, got {}",
            type_phrase(value)
        ))),
    }
}

fn plus(left: &Dynamic, right: &Dynamic) -> Result<Dynamic> {
    check_number(right)?;
    if let (Ok(left), Ok(right)) = (left.as_int(), right.as_int()) {
        let sum = left
            .checked_add(right)
            .ok_or_else(|| Error::invalid("the sum does not fit a 64-bit number"))?;
        return Ok(sum.into());
    }
    if let (Some(left), Some(right)) = (left.read_lock::<Duration>(), right.read_lock::<Duration>()) {
        return Ok(Dynamic::from(Duration::from_micros(
            left.micros().saturating_add(right.micros()),
        )));
    }
    let number = |value: &Dynamic| value.as_int().map(|n| n as f64).or_else(|_| value.as_float());
    match (number(left), number(right)) {
        (Ok(left), Ok(right)) => Ok((left + right).into()),
        _ => Err(Error::invalid("numbers and durations cannot be added up together")),
    }
}

/// A key that tells values apart as a person would: by type and text.
fn identity(value: &Dynamic) -> (String, String) {
    (value.type_name().to_owned(), super::value::text(value))
}

/// The order of names with numbers in them: `v9` before `v10`.
fn natural(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left, right);
    loop {
        let (a, b) = (head(&mut left), head(&mut right));
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let both_numbers = [a, b]
            .iter()
            .all(|piece| piece.starts_with(|c: char| c.is_ascii_digit()));
        let order = match both_numbers {
            true => {
                let (x, y) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
                x.len()
                    .cmp(&y.len())
                    .then_with(|| x.cmp(y))
                    .then_with(|| a.len().cmp(&b.len()))
            }
            false => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Takes the next piece that is all digits or has none.
fn head<'a>(text: &mut &'a str) -> &'a str {
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(text.len());
    let (piece, rest) = text.split_at(end);
    *text = rest;
    piece
}

/// A number of items as a script gives it.
fn count(ctx: &NativeCallContext, number: i64) -> Scripted<usize> {
    native(ctx, |_| {
        usize::try_from(number).map_err(|_| Error::invalid(format!("a count cannot be negative, got `{number}`")))
    })
}

/// Arrays and maps: joined, grouped, summed, cut and sorted. None of these changes its receiver.
#[export_module(manifest)]
pub mod functions {
    use super::super::value::{list, text};
    use super::{closure, count, extreme, identity, keyed, natural, sorted, total};
    use crate::bindings::prelude::*;
    use std::cmp::Ordering;
    use std::collections::HashSet;

    /// The items as text with a separator between them.
    ///
    /// ```rhai
    /// assert::eq(["a", 1, 2.seconds].join(", "), "a, 1, 2s");
    /// ```
    #[rhai_fn(pure)]
    pub fn join(this: &mut Array, separator: &str) -> String {
        this.iter().map(text).collect::<Vec<_>>().join(separator)
    }

    /// The items with those of inner arrays in their place, one level deep.
    ///
    /// ```rhai
    /// assert::eq([1, [2, [3]]].flatten(), [1, 2, [3]]);
    /// ```
    #[rhai_fn(pure)]
    pub fn flatten(this: &mut Array) -> Array {
        let items = this.iter().map(Dynamic::flatten_clone);
        items
            .flat_map(|item| item.clone().try_cast::<Array>().unwrap_or_else(|| vec![item]))
            .collect()
    }

    /// A map from what the closure returns, as text, to the items it returned that for.
    ///
    /// ```rhai
    /// assert::eq(["ab", "c", "de"].group_by(|s| s.len()), #{ "1": ["c"], "2": ["ab", "de"] });
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn group_by(ctx: NativeCallContext, this: &mut Array, closure: FnPtr) -> Scripted<Map> {
        let mut groups = std::collections::BTreeMap::<String, Array>::new();
        for (key, item) in keyed(&ctx, this, &closure)? {
            groups.entry(text(&key)).or_default().push(item);
        }
        Ok(groups
            .into_iter()
            .map(|(key, items)| (key.into(), items.into()))
            .collect())
    }

    /// The first of the items for which the closure returns the same.
    ///
    /// ```rhai
    /// assert::eq(["ab", "c", "de"].unique_by(|s| s.len()), ["ab", "c"]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn unique_by(ctx: NativeCallContext, this: &mut Array, closure: FnPtr) -> Scripted<Array> {
        let mut seen = HashSet::new();
        let pairs = keyed(&ctx, this, &closure)?.into_iter();
        Ok(pairs
            .filter(|(key, _)| seen.insert(identity(key)))
            .map(|(_, item)| item)
            .collect())
    }

    /// The items without those that came before.
    ///
    /// ```rhai
    /// assert::eq([1, 2, 1, "1"].unique(), [1, 2, "1"]);
    /// ```
    #[rhai_fn(pure)]
    pub fn unique(this: &mut Array) -> Array {
        let mut seen = HashSet::new();
        this.iter()
            .filter(|item| seen.insert(identity(item)))
            .cloned()
            .collect()
    }

    /// The sum of the items, which are numbers or durations; 0 for none.
    ///
    /// ```rhai
    /// assert::eq([1, 2, 3].sum(), 6);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn sum(ctx: NativeCallContext, this: &mut Array) -> Scripted<Dynamic> {
        total(&ctx, this.iter().map(Dynamic::flatten_clone).collect())
    }

    /// The sum of what the closure returns for the items, which are numbers or durations; 0 for none.
    ///
    /// ```rhai
    /// assert::eq([#{ size: 10 }, #{ size: 5 }].sum_by(|i| i.size), 15);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn sum_by(ctx: NativeCallContext, this: &mut Array, closure: FnPtr) -> Scripted<Dynamic> {
        let pairs = keyed(&ctx, this, &closure)?;
        total(&ctx, pairs.into_iter().map(|(key, _)| key).collect())
    }

    /// The first item for which the closure returns the least, or `()` for an empty array.
    ///
    /// ```rhai
    /// assert::eq(["abc", "d"].min_by(|s| s.len()), "d");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn min_by(ctx: NativeCallContext, this: &mut Array, closure: FnPtr) -> Scripted<Dynamic> {
        let pairs = keyed(&ctx, this, &closure)?;
        extreme(&ctx, pairs, Ordering::Less)
    }

    /// The first item for which the closure returns the most, or `()` for an empty array.
    ///
    /// ```rhai
    /// assert::eq(["abc", "d"].max_by(|s| s.len()), "abc");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn max_by(ctx: NativeCallContext, this: &mut Array, closure: FnPtr) -> Scripted<Dynamic> {
        let pairs = keyed(&ctx, this, &closure)?;
        extreme(&ctx, pairs, Ordering::Greater)
    }

    /// The items in the order of what the closure returns for them; equal ones keep their order.
    ///
    /// ```rhai
    /// assert::eq(["abc", "d", "ef"].sort_by(|s| s.len()), ["d", "ef", "abc"]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn sort_by(ctx: NativeCallContext, this: &mut Array, closure: FnPtr) -> Scripted<Array> {
        let pairs = keyed(&ctx, this, &closure)?;
        sorted(&ctx, pairs)
    }

    /// The items in the order people expect of names with numbers in them.
    ///
    /// ```rhai
    /// assert::eq(["v10", "v9", "v1"].sort_natural(), ["v1", "v9", "v10"]);
    /// ```
    #[rhai_fn(pure)]
    pub fn sort_natural(this: &mut Array) -> Array {
        let mut items = this.clone();
        items.sort_by_cached_key(text);
        items.sort_by(|left, right| natural(&text(left), &text(right)));
        items
    }

    /// Arrays of so many items each; the last one has what is left.
    ///
    /// ```rhai
    /// assert::eq([1, 2, 3].chunk(2), [[1, 2], [3]]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn chunk(ctx: NativeCallContext, this: &mut Array, size: INT) -> Scripted<Array> {
        let size = count(&ctx, size)?;
        native(&ctx, |_| match size {
            0 => Err(Error::invalid("the size of a chunk must be 1 or more")),
            size => Ok(list(this.chunks(size).map(<[Dynamic]>::to_vec))),
        })
    }

    /// The first so many items, or all if there are fewer.
    ///
    /// ```rhai
    /// assert::eq([1, 2, 3].take(2), [1, 2]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn take(ctx: NativeCallContext, this: &mut Array, number: INT) -> Scripted<Array> {
        Ok(this.iter().take(count(&ctx, number)?).cloned().collect())
    }

    /// The items after the first so many.
    ///
    /// ```rhai
    /// assert::eq([1, 2, 3].skip(2), [3]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn skip(ctx: NativeCallContext, this: &mut Array, number: INT) -> Scripted<Array> {
        Ok(this.iter().skip(count(&ctx, number)?).cloned().collect())
    }

    /// Two arrays: the items for which the closure returns `true`, and the others.
    ///
    /// ```rhai
    /// assert::eq([1, 2, 3].partition(|n| n > 1), [[2, 3], [1]]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn partition(ctx: NativeCallContext, this: &mut Array, closure: FnPtr) -> Scripted<Array> {
        let (mut yes, mut no) = (Array::new(), Array::new());
        for item in this.iter() {
            let side = if closure::test(&ctx, &closure, (item.clone(),))? {
                &mut yes
            } else {
                &mut no
            };
            side.push(item.clone());
        }
        Ok(list([yes, no]))
    }

    /// The entries of a map as an array of `#{key, value}`, in the order of the keys.
    ///
    /// ```rhai
    /// assert::eq(#{ b: 2, a: 1 }.entries()[0], #{ key: "a", value: 1 });
    /// ```
    #[rhai_fn(pure)]
    pub fn entries(this: &mut Map) -> Array {
        let entry = |(key, value): (&_, &Dynamic)| {
            let key: &rhai::Identifier = key;
            Map::from([("key".into(), key.to_string().into()), ("value".into(), value.clone())])
        };
        list(this.iter().map(entry))
    }
}
