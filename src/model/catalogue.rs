//! The catalogue: name and posted price of each good, by product index.
//!
//! A ledger has it in its `stocked` rows. A peer's store keeps it as JSON, so that the peer knows what it may ask for
//! and a reader of the store can name what its records mean.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::types::{Money, ProductId};

/// Name in `meta` under which a peer's store keeps the catalogue.
pub(crate) const GOODS: &str = "goods";

/// A good as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// Its name.
    pub name: String,
    /// Posted price of one piece.
    pub unit_price: Money,
}

/// The goods by product index; records name them by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue(pub Vec<Good>);

impl Catalogue {
    /// Reads `[{"name", "unit_price"}]`; what is not of this form is left out.
    pub(crate) fn from_json(json: &[u8]) -> Catalogue {
        let goods: Vec<Value> = serde_json::from_slice(json).unwrap_or_default();
        let good = |good: &Value| {
            let unit_price = Money(good["unit_price"].as_i64()?);
            Some(Good { name: good["name"].as_str()?.to_owned(), unit_price })
        };
        Catalogue(goods.iter().filter_map(good).collect())
    }

    /// What [`Catalogue::from_json`] reads.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let good = |good: &Good| json!({ "name": good.name, "unit_price": good.unit_price.0 });
        Value::from_iter(self.0.iter().map(good)).to_string().into_bytes()
    }

    /// The good's name; `#7` for a product that the catalogue lacks.
    pub(crate) fn name(&self, product: ProductId) -> String {
        let good = self.0.get(usize::from(product.0));
        good.map_or_else(|| format!("#{product}"), |good| good.name.clone())
    }
}

impl Catalogue {
    /// The product of that name.
    pub(crate) fn product(&self, name: &str) -> Option<ProductId> {
        let at = self.0.iter().position(|good| good.name == name)?;
        at.try_into().ok().map(ProductId)
    }
}

impl FromIterator<(String, Money)> for Catalogue {
    fn from_iter<I: IntoIterator<Item = (String, Money)>>(goods: I) -> Catalogue {
        Catalogue(goods.into_iter().map(|(name, unit_price)| Good { name, unit_price }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_keeps_is_read_back_and_what_is_none_left_out() {
        let goods = [("boar".to_owned(), Money(300)), ("fish".to_owned(), Money(100))];
        let catalogue = Catalogue::from_iter(goods);
        let json = r#"[{"name":"boar","unit_price":300},{"name":"fish","unit_price":100}]"#;
        assert_eq!(String::from_utf8(catalogue.to_json()).unwrap(), json);
        assert_eq!(Catalogue::from_json(json.as_bytes()), catalogue);
        assert_eq!(
            (catalogue.name(ProductId(1)), catalogue.name(ProductId(7))),
            ("fish".into(), "#7".into())
        );
        assert_eq!((catalogue.product("fish"), catalogue.product("eel")), (Some(ProductId(1)), None));
        let partly = br#"[{"name":"boar"},{"name":"fish","unit_price":100},7]"#;
        assert_eq!(Catalogue::from_json(partly).0.len(), 1);
        assert_eq!(Catalogue::from_json(b"no list"), Catalogue::default());
    }
}
