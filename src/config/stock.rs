//! `stock.json`: the goods that a new warehouse starts with.

use std::path::Path;

use serde::Deserialize;

use super::ConfigError;
use super::file::{self, Object};
use crate::limits::{PRODUCT_NAME_MAX, PRODUCTS_MAX, STOCK_MAX, UNIT_PRICE_MAX};
use crate::types::{Money, Quantity};

/// A good, its initial stock and its posted price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Good {
    /// As customers name it.
    pub name: String,
    /// Pieces at the start.
    pub quantity: Quantity,
    /// Of one piece, in minor units: a price of 3 is 300.
    pub unit_price: Money,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    quantity: u64,
    price: serde_json::Number,
}

/// Reads `stock.json`; the goods keep the order of the file, which makes them product 0, 1, ...
pub(crate) fn stock(dir: &Path) -> Result<Vec<Good>, ConfigError> {
    let file = file::read::<Object<Item>>(dir, "stock.json")?;
    let goods = file.entries.0.len();
    if goods == 0 || goods > PRODUCTS_MAX {
        return Err(ConfigError::GoodsCount { file: file.path, goods });
    }
    file.entries.0.iter().map(|(name, item)| good(&file.path, name, &item.0)).collect()
}

fn good(file: &Path, name: &str, item: &Item) -> Result<Good, ConfigError> {
    let (file, name) = (file.to_path_buf(), name.to_string());
    if !is_name(&name) {
        return Err(ConfigError::GoodName { file, name });
    }
    if item.quantity > STOCK_MAX {
        return Err(ConfigError::TooManyPieces { file, name, quantity: item.quantity });
    }
    match minor_units(&item.price.to_string()) {
        Some(unit_price) => Ok(Good { name, quantity: Quantity(item.quantity), unit_price }),
        None => Err(ConfigError::Price { file, name, price: item.price.to_string() }),
    }
}

/// Whether it can be the `GOOD` of `GOOD=N` on a command line.
fn is_name(name: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '=' && c != ',';
    !name.is_empty() && name.len() <= PRODUCT_NAME_MAX && !name.starts_with('-') && name.chars().all(plain)
}

/// `3` or `3.5` or `3.50` as minor units; none for a finer, negative or too high price.
fn minor_units(price: &str) -> Option<Money> {
    let (whole, part) = price.split_once('.').unwrap_or((price, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 2 {
        return None;
    }
    let hundredths: i64 = format!("{part:0<2}").parse().ok()?;
    let minor = whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
    (minor <= UNIT_PRICE_MAX).then_some(Money(minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock_of(text: &str) -> Result<Vec<Good>, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stock.json"), text).unwrap();
        stock(dir.path())
    }

    #[test]
    fn the_default_market_is_stocked_in_file_order() {
        let goods = stock(Path::new("data")).unwrap();
        let all: Vec<_> = goods.iter().map(|g| (g.name.as_str(), g.quantity.0, g.unit_price.0)).collect();
        assert_eq!(all, [("boar", 111, 300), ("fish", 43, 100), ("salt", 28, 400)]);
    }

    #[test]
    fn the_built_in_copy_stands_for_an_absent_default_directory_only() {
        let error = stock(Path::new("no-such-directory")).unwrap_err();
        assert!(error.to_string().contains("no-such-directory/stock.json"), "{error}");
    }

    #[test]
    fn prices_have_at_most_two_decimals() {
        assert_eq!(minor_units("3"), Some(Money(300)));
        assert_eq!(minor_units("3.5"), Some(Money(350)));
        assert_eq!(minor_units("0.05"), Some(Money(5)));
        for bad in ["3.505", "-1", "1e3", "10000.01", ""] {
            assert_eq!(minor_units(bad), None, "{bad}");
        }
    }

    /// Some editors begin every file with it.
    #[test]
    fn a_byte_order_mark_is_no_part_of_a_file() {
        let goods = stock_of("\u{feff}{\"fish\": {\"quantity\": 1, \"price\": 1}}").unwrap();
        assert_eq!(goods[0].name, "fish");
    }

    #[test]
    fn columns_are_characters_and_count_from_1() {
        for (text, place) in [
            ("", "stock.json:1:1"),
            ("{\n\"fish\": [1]}", "stock.json:2:9"),
            ("{\"käse\": [1]}", "stock.json:1:10"),
            ("{\"fish\":\n  3}", "stock.json:2:3"),
            ("{\"fish\":\n", "stock.json:2:1"),
        ] {
            let error = stock_of(text).unwrap_err();
            assert!(error.to_string().contains(&format!("{place}: ")), "{text:?}: {error}");
        }
        assert_eq!(
            stock_of("[]").unwrap_err().hint(),
            r#"write it like {"fish": {"quantity": 43, "price": 1}}"#
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (r#"{"fish": {"quantity": 1, "price": 1"#, "stock.json:1:35"),
            (r#"{"fish": {"quantity": -1, "price": 1}}"#, "-1"),
            (r#"{"fish": {"quantity": 1, "price": -2}}"#, "price -2 of fish"),
            (r#"{"fish": {"quantity": 1, "cost": 2}}"#, "unknown field `cost`"),
            (r#"{"fish": {"quantity": 1000000000001, "price": 1}}"#, "1000000000001 pieces of fish"),
            (r#"{"a=b": {"quantity": 1, "price": 1}}"#, "\"a=b\""),
            (r#"{}"#, "0 goods"),
            (
                r#"{"a": {"quantity": 1, "price": 1}, "a": {"quantity": 2, "price": 1}}"#,
                "\"a\" is there twice",
            ),
        ];
        for (text, named) in cases {
            let error = stock_of(text).unwrap_err();
            assert!(error.to_string().contains(named), "{error} lacks {named}");
            assert!(!error.hint().is_empty());
        }
    }
}
