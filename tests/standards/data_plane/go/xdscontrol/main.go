// Command xdscontrol is a control plane of go-control-plane that is told by standard input what to
// serve: one snapshot a line, {"version": "1", "resources": [{"@type": …}, …]}. What happens is
// written to standard output, one JSON object a line: listening, ack, nack, closed, error.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"

	clusterservice "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
)

var out sync.Mutex

func say(event map[string]any) {
	out.Lock()
	defer out.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(event)
}

// answered reports what a client says to an answer.
func answered(url, nonce, version, reason string) {
	if nonce == "" {
		return
	}
	if reason != "" {
		say(map[string]any{"nack": url, "reason": reason})
		return
	}
	say(map[string]any{"ack": url, "version": version})
}

func callbacks() server.Callbacks {
	return server.CallbackFuncs{
		StreamRequestFunc: func(_ int64, r *discovery.DiscoveryRequest) error {
			answered(r.TypeUrl, r.ResponseNonce, r.VersionInfo, r.GetErrorDetail().GetMessage())
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discovery.DeltaDiscoveryRequest) error {
			answered(r.TypeUrl, r.ResponseNonce, "", r.GetErrorDetail().GetMessage())
			return nil
		},
		StreamClosedFunc: func(int64, *core.Node) { say(map[string]any{"closed": true}) },
	}
}

type order struct {
	Version   string            `json:"version"`
	Resources []json.RawMessage `json:"resources"`
}

func urlOf(message types.Resource) (string, error) {
	switch message.(type) {
	case *clusterservice.Cluster:
		return resource.ClusterType, nil
	case *endpoint.ClusterLoadAssignment:
		return resource.EndpointType, nil
	case *listener.Listener:
		return resource.ListenerType, nil
	case *route.RouteConfiguration:
		return resource.RouteType, nil
	case *tls.Secret:
		return resource.SecretType, nil
	}
	return "", fmt.Errorf("%T is no resource", message)
}

func snapshot(line []byte) (*cache.Snapshot, error) {
	var wanted order
	if err := json.Unmarshal(line, &wanted); err != nil {
		return nil, err
	}
	all := map[resource.Type][]types.Resource{}
	for _, raw := range wanted.Resources {
		var packed anypb.Any
		if err := protojson.Unmarshal(raw, &packed); err != nil {
			return nil, err
		}
		message, err := packed.UnmarshalNew()
		if err != nil {
			return nil, err
		}
		url, err := urlOf(message)
		if err != nil {
			return nil, err
		}
		all[url] = append(all[url], message)
	}
	return cache.NewSnapshot(wanted.Version, all)
}

func run() error {
	ctx := context.Background()
	snapshots := cache.NewSnapshotCache(true, cache.IDHash{}, nil)
	address := "127.0.0.1:0"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	plane := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(
		plane, server.NewServer(ctx, snapshots, callbacks()))
	go func() { _ = plane.Serve(socket) }()
	say(map[string]any{"listening": socket.Addr().String()})
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil
		}
		made, err := snapshot(line)
		if err == nil {
			err = snapshots.SetSnapshot(ctx, "proxy", made)
		}
		if err != nil {
			say(map[string]any{"error": err.Error()})
		}
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "xdscontrol:", err)
		os.Exit(1)
	}
}
