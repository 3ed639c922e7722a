//! The names by which proxies, Istio and Aeraki find each other's resources.

/// Names the cluster of a service or, with a subset, of a part of it: `outbound|<port>|<subset>|<host>`.
pub fn cluster_name(port: u16, subset: &str, host: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

/// Names the routes of a service's port: `<host>_<port>`.
pub fn route_name(host: &str, port: u16) -> String {
    format!("{host}_{port}")
}
