//! Generates `aeraki-xds/src/proto` from the `.proto` files of the pinned package `envoy-types` and our own.
//!
//! Two outputs: a descriptor set of everything that a configuration file may hold, and Rust types for the few messages
//! that the code works with ([`prune`] cuts the set down to them, which keeps the crate quick to compile).

mod prune;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use prost::Message;
use prost_types::FileDescriptorSet;

/// Writes the generated files, or with `--check` fails when they differ from the committed ones.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let workspace = Workspace::find()?;
    match arguments {
        [] => generate(&workspace, &workspace.committed()),
        [flag] if flag == "--check" => {
            let fresh = workspace.target.join("xtask-proto");
            generate(&workspace, &fresh)?;
            compare(&workspace.committed(), &fresh)
        }
        other => bail!("proto takes nothing or --check, not {other:?}"),
    }
}

/// Where things are, as `cargo metadata` tells.
struct Workspace {
    root: PathBuf,
    target: PathBuf,
    envoy_types: PathBuf,
}

impl Workspace {
    fn find() -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo).args(["metadata", "--locked", "--format-version", "1"]).output()?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let path = |value: &serde_json::Value| value.as_str().map(PathBuf::from).context("cargo metadata: not a path");
        let manifest = metadata["packages"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|package| package["name"] == "envoy-types")
            .context("envoy-types is not in the lock file")?;
        Ok(Self {
            root: path(&metadata["workspace_root"])?,
            target: path(&metadata["target_directory"])?,
            envoy_types: path(&manifest["manifest_path"])?.with_file_name("proto"),
        })
    }

    fn committed(&self) -> PathBuf {
        self.root.join("aeraki-xds/src/proto")
    }

    fn includes(&self) -> Vec<PathBuf> {
        let own = self.root.join("aeraki-xds/proto");
        let foreign = INCLUDES.iter().map(|folder| self.envoy_types.join(folder));
        std::iter::once(own).chain(foreign).collect()
    }
}

fn generate(workspace: &Workspace, out: &Path) -> Result<()> {
    if out.exists() {
        fs::remove_dir_all(out)?;
    }
    fs::create_dir_all(out)?;
    let all = compile(workspace)?;
    fs::write(out.join(DESCRIPTORS), all.encode_to_vec())?;
    write_rust(prune::keep(all, MESSAGES, METHODS)?, out)
}

fn compile(workspace: &Workspace) -> Result<FileDescriptorSet> {
    let mut compiler = protox::Compiler::new(workspace.includes())?;
    compiler.include_imports(true).include_source_info(false);
    compiler.open_files(ROOTS).context("compiling the .proto files")?;
    Ok(compiler.file_descriptor_set())
}

fn write_rust(files: FileDescriptorSet, out: &Path) -> Result<()> {
    let mut config = prost_build::Config::new();
    config
        .bytes(["."])
        // In order of the keys: the same resource is encoded to the same bytes everywhere.
        .btree_map(["."])
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com")
        .extern_path(".google.protobuf.Any", "crate::Any");
    tonic_prost_build::configure()
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .out_dir(out)
        .include_file("mod.rs")
        .compile_fds_with_config(files, config)
        .context("generating Rust")
}

fn compare(committed: &Path, fresh: &Path) -> Result<()> {
    let (old, new) = (read_folder(committed)?, read_folder(fresh)?);
    let stale: Vec<_> = old
        .iter()
        .filter(|file| !new.contains(file))
        .chain(new.iter().filter(|file| !old.contains(file)))
        .map(|(name, _)| name.as_str())
        .collect();
    ensure!(stale.is_empty(), "generated files are not up to date, run `cargo xtask proto`: {}", stale.join(", "));
    println!("{} generated files are up to date", new.len());
    Ok(())
}

fn read_folder(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    fs::read_dir(folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?))
        })
        .collect()
}

const DESCRIPTORS: &str = "descriptors.bin";

/// Folders of `envoy-types/proto` that hold what [`ROOTS`] import.
const INCLUDES: &[&str] =
    &["data-plane-api", "xds", "protoc-gen-validate", "googleapis", "cel-spec", "client_model", "opentelemetry-proto"];

/// Files that, with their imports, make up the descriptor set: what a configuration file may hold, `Any`s included.
const ROOTS: &[&str] = &[
    "aeraki/meta_protocol/codec/codec.proto",
    "aeraki/meta_protocol_proxy/config/route/v1alpha/route.proto",
    "aeraki/meta_protocol_proxy/filters/authorization/v1alpha/authorization.proto",
    "aeraki/meta_protocol_proxy/filters/fault/v1alpha/fault.proto",
    "aeraki/meta_protocol_proxy/filters/istio_stats/v1alpha/istio_stats.proto",
    "aeraki/meta_protocol_proxy/filters/local_ratelimit/v1alpha/local_ratelimit.proto",
    "aeraki/meta_protocol_proxy/filters/metadata_exchange/v1alpha/metadata_exchange.proto",
    "aeraki/meta_protocol_proxy/filters/ratelimit/v1alpha/ratelimit.proto",
    "aeraki/meta_protocol_proxy/filters/request_id/v1alpha/request_id.proto",
    "aeraki/meta_protocol_proxy/filters/router/v1alpha/router.proto",
    "aeraki/meta_protocol_proxy/filters/shed/v1alpha/shed.proto",
    "aeraki/meta_protocol_proxy/v1alpha/meta_protocol_proxy.proto",
    "envoy/config/bootstrap/v3/bootstrap.proto",
    "envoy/config/trace/v3/zipkin.proto",
    "envoy/extensions/access_loggers/file/v3/file.proto",
    "envoy/extensions/access_loggers/stream/v3/stream.proto",
    "envoy/extensions/filters/http/fault/v3/fault.proto",
    "envoy/extensions/filters/listener/original_dst/v3/original_dst.proto",
    "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.proto",
    "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto",
    "envoy/extensions/filters/network/connection_limit/v3/connection_limit.proto",
    "envoy/extensions/filters/network/dubbo_proxy/v3/dubbo_proxy.proto",
    "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto",
    "envoy/extensions/filters/network/thrift_proxy/v3/thrift_proxy.proto",
    "envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.proto",
    "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.proto",
    "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/service/discovery/v3/ads.proto",
    "envoy/service/ratelimit/v3/rls.proto",
    "envoy/service/route/v3/rds.proto",
    "udpa/type/v1/typed_struct.proto",
    "xds/type/v3/typed_struct.proto",
];

/// Methods that get Rust code, client and server.
const METHODS: &[&str] = &[
    "envoy.service.discovery.v3.AggregatedDiscoveryService.StreamAggregatedResources",
    "envoy.service.ratelimit.v3.RateLimitService.ShouldRateLimit",
    "envoy.service.route.v3.RouteDiscoveryService.StreamRoutes",
];

/// Messages that get Rust code. A field whose type is not listed is left out of its message.
const MESSAGES: &[&str] = &[
    "aeraki.meta_protocol.codec.DubboCodec",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.KeyValue",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.Route",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.RouteAction",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.RouteAction.RequestMirrorPolicy",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.RouteConfiguration",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.RouteMatch",
    "aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Authorization",
    "aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Operation",
    "aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Patterns",
    "aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Policy",
    "aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Rule",
    "aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Source",
    "aeraki.meta_protocol_proxy.filters.fault.v1alpha.Abort",
    "aeraki.meta_protocol_proxy.filters.fault.v1alpha.Delay",
    "aeraki.meta_protocol_proxy.filters.fault.v1alpha.Fault",
    "aeraki.meta_protocol_proxy.filters.local_ratelimit.v1alpha.KeyedBuckets",
    "aeraki.meta_protocol_proxy.filters.local_ratelimit.v1alpha.LocalRateLimit",
    "aeraki.meta_protocol_proxy.filters.local_ratelimit.v1alpha.LocalRateLimitCondition",
    "aeraki.meta_protocol_proxy.filters.metadata_exchange.v1alpha.MetadataExchange",
    "aeraki.meta_protocol_proxy.filters.ratelimit.v1alpha.RateLimit",
    "aeraki.meta_protocol_proxy.filters.ratelimit.v1alpha.RateLimit.CompoundDescriptor",
    "aeraki.meta_protocol_proxy.filters.ratelimit.v1alpha.RateLimit.Descriptor",
    "aeraki.meta_protocol_proxy.filters.request_id.v1alpha.RequestId",
    "aeraki.meta_protocol_proxy.filters.router.v1alpha.Mirror",
    "aeraki.meta_protocol_proxy.filters.router.v1alpha.RetryBudget",
    "aeraki.meta_protocol_proxy.filters.router.v1alpha.RouteOptions",
    "aeraki.meta_protocol_proxy.filters.shed.v1alpha.AdaptiveConcurrency",
    "aeraki.meta_protocol_proxy.filters.shed.v1alpha.Shed",
    "aeraki.meta_protocol_proxy.v1alpha.ApplicationProtocol",
    "aeraki.meta_protocol_proxy.v1alpha.Codec",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolFilter",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy",
    "aeraki.meta_protocol_proxy.v1alpha.Rds",
    "envoy.config.cluster.v3.CircuitBreakers",
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds",
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.cluster.v3.Cluster.CommonLbConfig",
    "envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig",
    "envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig",
    "envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig",
    "envoy.config.cluster.v3.Cluster.LbSubsetConfig",
    "envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector",
    "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig",
    "envoy.config.cluster.v3.Cluster.MaglevLbConfig",
    "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig",
    "envoy.config.cluster.v3.Cluster.PreconnectPolicy",
    "envoy.config.cluster.v3.Cluster.RingHashLbConfig",
    "envoy.config.cluster.v3.Cluster.RoundRobinLbConfig",
    "envoy.config.cluster.v3.Cluster.SlowStartConfig",
    "envoy.config.cluster.v3.Cluster.TransportSocketMatch",
    "envoy.config.cluster.v3.LoadBalancingPolicy",
    "envoy.config.cluster.v3.OutlierDetection",
    "envoy.config.cluster.v3.UpstreamConnectionOptions",
    "envoy.config.core.v3.Address",
    "envoy.config.core.v3.AggregatedConfigSource",
    "envoy.config.core.v3.ApiConfigSource",
    "envoy.config.core.v3.BackoffStrategy",
    "envoy.config.core.v3.CidrRange",
    "envoy.config.core.v3.ConfigSource",
    "envoy.config.core.v3.ControlPlane",
    "envoy.config.core.v3.DataSource",
    "envoy.config.core.v3.GrpcService",
    "envoy.config.core.v3.GrpcService.EnvoyGrpc",
    "envoy.config.core.v3.HealthCheck",
    "envoy.config.core.v3.HealthCheck.CustomHealthCheck",
    "envoy.config.core.v3.HealthCheck.Payload",
    "envoy.config.core.v3.HealthCheck.TcpHealthCheck",
    "envoy.config.core.v3.HeaderValue",
    "envoy.config.core.v3.HeaderValueOption",
    "envoy.config.core.v3.HttpProtocolOptions",
    "envoy.config.core.v3.Locality",
    "envoy.config.core.v3.Metadata",
    "envoy.config.core.v3.Node",
    "envoy.config.core.v3.PathConfigSource",
    "envoy.config.core.v3.Pipe",
    "envoy.config.core.v3.ProxyProtocolConfig",
    "envoy.config.core.v3.ProxyProtocolPassThroughTLVs",
    "envoy.config.core.v3.RuntimeDouble",
    "envoy.config.core.v3.RuntimeFeatureFlag",
    "envoy.config.core.v3.RuntimeFractionalPercent",
    "envoy.config.core.v3.SocketAddress",
    "envoy.config.core.v3.TcpKeepalive",
    "envoy.config.core.v3.TlvEntry",
    "envoy.config.core.v3.TransportSocket",
    "envoy.config.core.v3.TypedExtensionConfig",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy",
    "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.DropOverload",
    "envoy.config.endpoint.v3.Endpoint",
    "envoy.config.endpoint.v3.LbEndpoint",
    "envoy.config.endpoint.v3.LocalityLbEndpoints",
    "envoy.config.listener.v3.AdditionalAddress",
    "envoy.config.listener.v3.ApiListener",
    "envoy.config.listener.v3.Filter",
    "envoy.config.listener.v3.FilterChain",
    "envoy.config.listener.v3.FilterChainMatch",
    "envoy.config.listener.v3.Listener",
    "envoy.config.listener.v3.Listener.DeprecatedV1",
    "envoy.config.listener.v3.Listener.FcdsConfig",
    "envoy.config.listener.v3.Listener.InternalListenerConfig",
    "envoy.config.listener.v3.ListenerFilter",
    "envoy.config.listener.v3.UdpListenerConfig",
    "envoy.config.overload.v3.OverloadManager",
    "envoy.config.overload.v3.ResourceMonitor",
    "envoy.config.ratelimit.v3.RateLimitServiceConfig",
    "envoy.config.route.v3.HeaderMatcher",
    "envoy.config.route.v3.HedgePolicy",
    "envoy.config.route.v3.RetryPolicy",
    "envoy.config.route.v3.RetryPolicy.RetryBackOff",
    "envoy.config.route.v3.RouteAction",
    "envoy.config.route.v3.RouteAction.HashPolicy",
    "envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties",
    "envoy.config.route.v3.RouteAction.HashPolicy.Header",
    "envoy.config.route.v3.RouteAction.MaxStreamDuration",
    "envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
    "envoy.config.route.v3.Route",
    "envoy.config.route.v3.RouteConfiguration",
    "envoy.config.route.v3.RouteMatch",
    "envoy.config.route.v3.VirtualHost",
    "envoy.config.route.v3.WeightedCluster",
    "envoy.config.route.v3.WeightedCluster.ClusterWeight",
    "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor",
    "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry",
    "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.RateLimitOverride",
    "envoy.extensions.filters.common.fault.v3.FaultDelay",
    "envoy.extensions.filters.http.fault.v3.FaultAbort",
    "envoy.extensions.filters.http.fault.v3.HTTPFault",
    "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
    "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.OnDemand",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight",
    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
    "envoy.extensions.transport_sockets.tls.v3.CertificateProviderPluginInstance",
    "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext",
    "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.SystemRootCerts",
    "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext",
    "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CertificateProvider",
    "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CertificateProviderInstance",
    "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext",
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "envoy.extensions.transport_sockets.tls.v3.PrivateKeyProvider",
    "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig",
    "envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate",
    "envoy.extensions.transport_sockets.tls.v3.TlsParameters",
    "envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys",
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "envoy.service.discovery.v3.DiscoveryRequest",
    "envoy.service.discovery.v3.DiscoveryResponse",
    "envoy.service.ratelimit.v3.RateLimitRequest",
    "envoy.service.ratelimit.v3.RateLimitResponse",
    "envoy.service.ratelimit.v3.RateLimitResponse.DescriptorStatus",
    "envoy.service.ratelimit.v3.RateLimitResponse.RateLimit",
    "envoy.type.matcher.v3.RegexMatcher",
    "envoy.type.matcher.v3.RegexMatcher.GoogleRE2",
    "envoy.type.matcher.v3.StringMatcher",
    "envoy.type.v3.FractionalPercent",
    "envoy.type.v3.HashPolicy",
    "envoy.type.v3.HashPolicy.FilterState",
    "envoy.type.v3.HashPolicy.SourceIp",
    "envoy.type.v3.Int64Range",
    "envoy.type.v3.Percent",
    "envoy.type.v3.TokenBucket",
    "google.rpc.Status",
    "xds.type.matcher.v3.Matcher",
];
