# Joins this node's pods to those of the other nodes. {braces} are filled in by
# evals/src/cluster/kind/network.rs.
set -eu
# A source address that pods see is a pod's own; only what leaves the pods' network is masqueraded.
nft -f - <<'RULES'
table ip kai
delete table ip kai
table ip kai {
  chain leave {
    type nat hook postrouting priority srcnat;
    ip saddr {pods} ip daddr != {pods} masquerade
  }
}
RULES
{routes}
mkdir -p /etc/containerd/certs.d/_default
cat > /etc/containerd/certs.d/_default/hosts.toml <<'HOSTS'
{hosts}
HOSTS
# Last: with this file the node becomes Ready.
cat > /etc/cni/net.d/10-kai.conflist <<'CNI'
{"cniVersion": "0.4.0", "name": "kai", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "{subnet}"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
CNI
