package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// client sends one request after the other over one connection of its own.
type client interface {
	// send gives the status, the number of body bytes, and the body's last piece (of a short
	// answer the whole), which is good until the next request.
	send(method, path, contentType string, body []byte) (status int, size int, last []byte, err error)
}

// plain speaks HTTP/1.1 by hand: what it costs is little beside what a server costs.
type plain struct {
	target *target
	conn   *tls.Conn
	reader *bufio.Reader
	buffer bytes.Buffer
	body   []byte
}

func (p *plain) open() error {
	if p.conn != nil {
		return nil
	}
	config := p.target.config.Clone()
	config.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", p.target.host, config)
	if err != nil {
		return err
	}
	p.conn, p.reader = conn, bufio.NewReaderSize(conn, 64<<10)
	return nil
}

func (p *plain) request(method, path, contentType string, body []byte) error {
	if err := p.open(); err != nil {
		return err
	}
	p.buffer.Reset()
	fmt.Fprintf(&p.buffer, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nUser-Agent: load/1\r\n",
		method, path, p.target.host)
	if body != nil {
		fmt.Fprintf(&p.buffer, "Content-Type: %s\r\nContent-Length: %d\r\n", contentType, len(body))
	}
	p.buffer.WriteString("\r\n")
	p.buffer.Write(body)
	_, err := p.conn.Write(p.buffer.Bytes())
	return err
}

// head reads a status line and headers; length is -1 for a chunked body.
func (p *plain) head() (status, length int, closing bool, err error) {
	line, err := p.reader.ReadSlice('\n')
	if err != nil {
		return 0, 0, false, err
	}
	fields := bytes.Fields(line)
	if len(fields) < 2 {
		return 0, 0, false, fmt.Errorf("odd status line %q", line)
	}
	if status, err = strconv.Atoi(string(fields[1])); err != nil {
		return 0, 0, false, err
	}
	for {
		line, err = p.reader.ReadSlice('\n')
		if err != nil {
			return 0, 0, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return status, length, closing, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			length, err = strconv.Atoi(string(value))
			if err != nil {
				return 0, 0, false, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			length = -1
		case bytes.EqualFold(name, []byte("connection")):
			closing = bytes.EqualFold(value, []byte("close"))
		}
	}
}

// chunk reads one chunk into p.body; the last one is empty.
func (p *plain) chunk() error {
	line, err := p.reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(line)), ";")
	size, err := strconv.ParseInt(text, 16, 64)
	if err != nil {
		return err
	}
	if err := p.read(int(size)); err != nil {
		return err
	}
	_, err = p.reader.Discard(2)
	return err
}

func (p *plain) read(size int) error {
	if cap(p.body) < size {
		p.body = make([]byte, size)
	}
	p.body = p.body[:size]
	_, err := io.ReadFull(p.reader, p.body)
	return err
}

func (p *plain) close() {
	if p.conn != nil {
		p.conn.Close()
	}
	p.conn = nil
}

func (p *plain) send(method, path, contentType string, body []byte) (int, int, []byte, error) {
	if err := p.request(method, path, contentType, body); err != nil {
		p.close()
		return 0, 0, nil, err
	}
	status, length, closing, err := p.head()
	total := 0
	if err == nil && length >= 0 {
		err = p.read(length)
		total = length
	}
	last := p.body
	for err == nil && length < 0 {
		err = p.chunk()
		total += len(p.body)
		if len(p.body) == 0 {
			break
		}
		last = p.body
	}
	if err != nil || closing {
		p.close()
	}
	return status, total, last, err
}

// framed speaks HTTP/2 by Go's own client.
type framed struct {
	target *target
	client *http.Client
}

func newFramed(t *target) *framed {
	transport := &http.Transport{TLSClientConfig: t.config.Clone(), ForceAttemptHTTP2: true}
	return &framed{t, &http.Client{Transport: transport}}
}

func (f *framed) do(method, path, contentType string, body []byte) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequest(method, "https://"+f.target.host+path, reader)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", "load/1")
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := f.client.Do(request)
	if err == nil && response.ProtoMajor != 2 {
		response.Body.Close()
		return nil, errors.New("the server does not speak HTTP/2")
	}
	return response, err
}

func (f *framed) send(method, path, contentType string, body []byte) (int, int, []byte, error) {
	response, err := f.do(method, path, contentType, body)
	if err != nil {
		return 0, 0, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, len(text), text, err
}
