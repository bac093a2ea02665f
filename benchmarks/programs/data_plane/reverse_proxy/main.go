// Command reverse_proxy is Go's httputil.ReverseProxy as a peer of the data plane: HTTP/1.1 and
// HTTP/2 (clear or TLS) in, HTTP/1.1, HTTP/2 clear or mutual TLS out, everything else at defaults.
//
//	reverse_proxy -listen 127.0.0.1:8080 -upstream 127.0.0.1:9000 -protocol h1|h2|tls-h1|tls-h2
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"os"
	"time"
)

func main() {
	listen := flag.String("listen", "", "address of the clear listener")
	upstream := flag.String("upstream", "", "address of the upstream")
	protocol := flag.String("protocol", "h1", "to the upstream: h1, h2 (clear), tls-h1 or tls-h2")
	ca := flag.String("ca", "", "roots of the upstream's certificate")
	cert := flag.String("cert", "", "our certificate")
	key := flag.String("key", "", "its key")
	name := flag.String("name", "", "name in the upstream's certificate")
	streams := flag.Int("streams", 20000, "streams of one client connection")
	flag.Parse()

	transport := &http.Transport{
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
		Protocols:           new(http.Protocols),
	}
	scheme := "http"
	switch *protocol {
	case "h1":
		transport.Protocols.SetHTTP1(true)
	case "h2":
		transport.Protocols.SetUnencryptedHTTP2(true)
	case "tls-h1", "tls-h2":
		scheme = "https"
		transport.Protocols.SetHTTP1(*protocol == "tls-h1")
		transport.Protocols.SetHTTP2(*protocol == "tls-h2")
		transport.TLSClientConfig = mutual(*ca, *cert, *key, *name)
	default:
		log.Fatalf("unknown protocol %q", *protocol)
	}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(request *httputil.ProxyRequest) {
			request.Out.URL.Scheme = scheme
			request.Out.URL.Host = *upstream
			request.SetXForwarded()
		},
	}
	server := &http.Server{
		Addr:      *listen,
		Handler:   proxy,
		Protocols: new(http.Protocols),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: *streams},
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	log.Fatal(server.ListenAndServe())
}

func mutual(ca, cert, key, name string) *tls.Config {
	text, err := os.ReadFile(ca)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		log.Fatalf("%s has no certificate", ca)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		log.Fatal(err)
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: name}
}
