// Command upstream answers every request at the least cost, so that a proxy in front of it is what
// is measured: one goroutine a connection, one write for all answers to what one read brought.
//
//	upstream -clear 127.0.0.1:9000 -tls 127.0.0.1:9001 -cert c.pem -key k.pem -ca ca.pem
//
// HTTP/1.1 or HTTP/2 is told by the connection's first bytes (or ALPN). A gRPC request
// (content-type application/grpc…) gets one 64-byte message and its trailers, everything else
// -size bytes. Requests whose path begins with /hold are answered together, -hold after the first.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net"
	"os"
	"strconv"
	"time"
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

type server struct {
	body   []byte
	grpc   []byte
	plain1 []byte // the whole HTTP/1.1 answer
	plain2 []byte // the header block of HTTP/2's
	hold   time.Duration
	held   gate
}

func main() {
	clear := flag.String("clear", "", "address without TLS")
	secure := flag.String("tls", "", "address with mutual TLS")
	cert := flag.String("cert", "", "certificate")
	key := flag.String("key", "", "its key")
	ca := flag.String("ca", "", "roots of clients' certificates")
	size := flag.Int("size", 1024, "bytes of an answer")
	hold := flag.Duration("hold", 3*time.Second, "time until held requests are answered")
	flag.Parse()

	s := newServer(*size, *hold)
	if *secure != "" {
		go s.serve(tls.NewListener(listen(*secure), config(*cert, *key, *ca)))
	}
	s.serve(listen(*clear))
}

func newServer(size int, hold time.Duration) *server {
	s := &server{body: bytes.Repeat([]byte("x"), size), hold: hold}
	s.grpc = append([]byte{0, 0, 0, 0, 64}, bytes.Repeat([]byte("g"), 64)...)
	s.plain1 = plainAnswer(s.body)
	s.plain2 = encoded(":status", "200", "content-type", "text/plain",
		"content-length", strconv.Itoa(size))
	return s
}

func listen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func config(cert, key, ca string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientCAs:    roots,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		NextProtos:   []string{"h2", "http/1.1"},
	}
}

func (s *server) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go s.connection(conn)
	}
}

func (s *server) connection(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, 64<<10)
	begin, err := reader.Peek(4)
	if err != nil {
		return
	}
	if string(begin) == preface[:4] {
		if _, err := reader.Discard(len(preface)); err == nil {
			newStreams(s, conn, reader).serve()
		}
		return
	}
	s.plain(conn, reader)
}
