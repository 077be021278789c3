//! The three tables, against a DynamoDB of the test's own that holds them as `template.yaml` defines them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod connections;
mod jobs;
mod webhook_events;

use clipbell_test_support::{Tables, Template};

#[test]
fn the_template_deletes_old_rows_and_shows_notify_both_images_of_a_job() {
    let template = Template::read();
    for table in [Tables::JOBS, Tables::CONNECTIONS, Tables::WEBHOOK_EVENTS] {
        let deleted_by = &template.properties(table)["TimeToLiveSpecification"];
        assert_eq!(deleted_by["AttributeName"], "ttl", "{table}");
        assert_eq!(deleted_by["Enabled"], true, "{table}");
    }
    let stream = &template.properties(Tables::JOBS)["StreamSpecification"];
    assert_eq!(stream["StreamViewType"], "NEW_AND_OLD_IMAGES");
}
