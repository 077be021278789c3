//! `template.yaml`, as far as tests look at it.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The stack's template.
#[derive(Debug)]
pub struct Template(Value);

impl Template {
    /// Reads `template.yaml`. Of `!Ref X`, `!If [...]` and the like it keeps what follows the tag.
    pub fn read() -> Self {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml"));
        let documents = Yaml::load_from_str(text).expect("template.yaml is YAML");
        Self(json_of(&documents[0]))
    }

    /// The properties of a resource.
    pub fn properties(&self, resource: &str) -> &Value {
        &self.0["Resources"][resource]["Properties"]
    }

    /// The logical names of all resources of a type.
    pub fn resources(&self, kind: &str) -> Vec<&str> {
        let resources = self.0["Resources"].as_object().expect("a template has resources");
        resources.iter().filter(|(_, resource)| resource["Type"] == kind).map(|(name, _)| name.as_str()).collect()
    }

    /// What `CreateTable` takes to make the table that a resource defines, named as the resource is.
    pub fn create_table(&self, resource: &str) -> Value {
        let defined = self.properties(resource).as_object().expect("a table has properties");
        let same_in_both = [
            "AttributeDefinitions",
            "BillingMode",
            "GlobalSecondaryIndexes",
            "KeySchema",
            "LocalSecondaryIndexes",
            "ProvisionedThroughput",
        ];
        let mut request: Map<String, Value> =
            same_in_both.iter().filter_map(|name| Some(((*name).to_owned(), defined.get(*name)?.clone()))).collect();
        request.insert("TableName".to_owned(), resource.into());
        if let Some(stream) = defined.get("StreamSpecification") {
            let stream = json!({"StreamEnabled": true, "StreamViewType": stream["StreamViewType"]});
            request.insert("StreamSpecification".to_owned(), stream);
        }
        request.into()
    }
}

fn json_of(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(nodes) => nodes.iter().map(json_of).collect(),
        Yaml::Mapping(nodes) => {
            let entry = |(key, value)| (json_of(key).as_str().expect("a key is a text").to_owned(), json_of(value));
            Value::Object(nodes.iter().map(entry).collect())
        }
        Yaml::Tagged(_, node) => json_of(node),
        Yaml::Representation(text, ..) => text.as_ref().into(),
        Yaml::Alias(_) | Yaml::BadValue => panic!("template.yaml holds what no template may: {node:?}"),
    }
}
