//! Socket Mode.
/// An envelope.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// id
    pub envelope_id: String,
    /// type
    pub kind: String,
    /// payload
    pub payload: serde_json::Value,
    /// bool
    pub accepts_response_payload: bool,
    /// retry
    pub retry_attempt: Option<u32>,
}
