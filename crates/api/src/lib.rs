//! What the HTTP functions share: reading a request, answering, and the one shape of an error.

mod error;
mod request;
mod response;
mod run;

pub use error::ApiError;
pub use request::{BearerToken, job_id, query, render_version};
pub use response::{json, text_header};
pub use run::run;
