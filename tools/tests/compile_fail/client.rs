//! The client does not leave the connection.
fn take(cluster: kai_tools::Cluster) {
    let _ = cluster.0;
    let _ = cluster.client();
}

fn main() {}
