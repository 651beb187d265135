//! CrossAccount: the customer allow-lists our role, and nothing is shared.

use super::Companies;

#[tokio::test]
async fn what_the_status_prints_is_all_that_a_proof_needs() {
    let companies = Companies::start("cross").await;
    companies.cross_account("acme", "");
    companies.paste_grants("acme").await;
    companies
        .world
        .condition("obdest", "acme", "Ready", "True")
        .await;
    companies.holds_only(&[]).await;
}
