//! Values of DynamoDB items.

use std::{collections::HashMap, fmt::Display};

use aws_sdk_dynamodb::types::AttributeValue;

/// A row, or a row's key.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A text.
pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// A number.
pub(crate) fn n<N: Display + Copy>(number: N) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
