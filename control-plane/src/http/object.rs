//! A JSON object as a value. It refuses arrays, which serde takes for structs by the order of their fields: nobody means `[]` by
//! `{}`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// What an object says.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfObject(PhantomData)).map(Self)
    }
}

/// For `#[serde(deserialize_with)]` of what is within another object.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

struct OfObject<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OfObject<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, PartialEq, Debug)]
    #[serde(deny_unknown_fields)]
    struct Named {
        #[serde(default)]
        name: String,
    }

    #[test]
    fn an_object_is_read_and_an_array_is_none() {
        let read = |text: &str| serde_json::from_str::<Object<Named>>(text).map(|Object(it)| it.name);
        assert_eq!(read(r#"{"name":"x"}"#).unwrap(), "x");
        assert_eq!(read("{}").unwrap(), "");
        for bad in ["[]", r#"["x"]"#, "null", r#"{"name":"x","more":1}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
