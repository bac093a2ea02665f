package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Watches are read by one thread that waits for all of them with epoll: a goroutine for each would
// cost more than what a server does for an event, and be what is measured. An event's time is the
// one at which the kernel received its bytes, so that it does not wait for other events' reading.

// nothing is the error of a socket without bytes; TLS takes it for temporary and goes on later.
type nothing struct{}

func (nothing) Error() string   { return "nothing to read now" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// socket is a connection that blocks until it is freed, and then only has what it was fed.
type socket struct {
	net.Conn
	fd    int
	bytes []byte
}

func (s *socket) Read(into []byte) (int, error) {
	if s.fd < 0 {
		return s.Conn.Read(into)
	}
	if len(s.bytes) == 0 {
		return 0, nothing{}
	}
	n := copy(into, s.bytes)
	s.bytes = s.bytes[n:]
	return n, nil
}

func (s *socket) Write(data []byte) (int, error) {
	if s.fd < 0 {
		return s.Conn.Write(data)
	}
	// Acknowledgements only: they always fit.
	return syscall.Write(s.fd, data)
}

// free takes the descriptor from Go's own poller.
func (s *socket) free() error {
	raw, err := s.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	fd, failed := -1, error(nil)
	if err := raw.Control(func(old uintptr) { fd, failed = syscall.Dup(int(old)) }); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	s.fd = fd
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1); err != nil {
		return err
	}
	return s.Conn.Close()
}

// framing takes a body apart; lines is called with the number of lines that it found.
type framing interface {
	// feed takes the connection's next bytes, which are good until it returns.
	feed(data []byte, lines func(count int)) error
}

// watcher is one connection with one watch, or several of HTTP/2.
type watcher struct {
	socket  *socket
	conn    *tls.Conn
	framing framing
	control [64]byte
}

// dial connects and shakes hands.
func dial(t *target, protocol string) (*watcher, error) {
	plain, err := net.Dial("tcp", t.host)
	if err != nil {
		return nil, err
	}
	config := t.config.Clone()
	config.NextProtos = []string{protocol}
	if config.ServerName, _, err = net.SplitHostPort(t.host); err != nil {
		return nil, err
	}
	s := &socket{Conn: plain, fd: -1}
	w := &watcher{socket: s, conn: tls.Client(s, config)}
	if err := w.conn.Handshake(); err != nil {
		return nil, err
	}
	if got := w.conn.ConnectionState().NegotiatedProtocol; got != protocol {
		return nil, fmt.Errorf("the server speaks %q, not %s", got, protocol)
	}
	return w, nil
}

// read gives what arrived, decrypted, to the framing.
func (w *watcher) read(arrived, plain []byte, seen func(time.Time)) error {
	n, size, _, _, err := syscall.Recvmsg(w.socket.fd, arrived, w.control[:], 0)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return nil
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return io.EOF
	}
	at, err := received(w.control[:size])
	if err != nil {
		return err
	}
	lines := func(count int) {
		for range count {
			seen(at)
		}
	}
	w.socket.bytes = arrived[:n]
	for {
		n, err := w.conn.Read(plain)
		if errors.Is(err, nothing{}) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.framing.feed(plain[:n], lines); err != nil {
			return err
		}
	}
}

// received is the time in a message's control data.
func received(control []byte) (time.Time, error) {
	all, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, err
	}
	for _, one := range all {
		if one.Header.Type == syscall.SCM_TIMESTAMPNS && len(one.Data) >= 16 {
			seconds := binary.NativeEndian.Uint64(one.Data)
			return time.Unix(int64(seconds), int64(binary.NativeEndian.Uint64(one.Data[8:]))), nil
		}
	}
	return time.Time{}, errors.New("the kernel did not say when bytes arrived")
}

// follow reads all watchers until one ends; seen is called with each event's arrival.
func follow(all []*watcher, seen func(at time.Time)) error {
	runtime.LockOSThread()
	poll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	for number, w := range all {
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(number)}
		if err := syscall.EpollCtl(poll, syscall.EPOLL_CTL_ADD, w.socket.fd, &event); err != nil {
			return err
		}
	}
	arrived, plain := make([]byte, 256<<10), make([]byte, 64<<10)
	ready := make([]syscall.EpollEvent, 1024)
	for {
		n, err := syscall.EpollWait(poll, ready, -1)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		for _, event := range ready[:n] {
			if err := all[event.Fd].read(arrived, plain, seen); err != nil {
				return fmt.Errorf("a watch ended: %w", err)
			}
		}
	}
}

// chunked is the body of HTTP/1.1.
type chunked struct {
	size []byte // of the chunk's size line, what came
	left int    // of the chunk, with its line's end
}

func (c *chunked) feed(data []byte, lines func(int)) error {
	for len(data) > 0 {
		if c.left > 0 {
			part := data[:min(c.left, len(data))]
			data = data[len(part):]
			c.left -= len(part)
			// The line's end after the chunk is "\r\n", which is none of the body's.
			count := bytes.Count(part, []byte("\n"))
			if c.left == 0 {
				count--
			}
			lines(count)
			continue
		}
		before, after, found := bytes.Cut(data, []byte("\n"))
		c.size = append(c.size, before...)
		if !found {
			return nil
		}
		data = after
		size, err := strconv.ParseInt(string(bytes.TrimRight(c.size, "\r")), 16, 32)
		if err != nil {
			return fmt.Errorf("odd chunk %q: %w", c.size, err)
		}
		if size == 0 {
			return io.EOF
		}
		c.size, c.left = c.size[:0], int(size)+2
	}
	return nil
}

// openPlain opens one watch over HTTP/1.1.
func openPlain(t *target, path string) (*watcher, error) {
	w, err := dial(t, "http/1.1")
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(w.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nUser-Agent: load/1\r\n\r\n",
		path, t.host)
	if err != nil {
		return nil, err
	}
	var head []byte
	buffer := make([]byte, 4096)
	for !bytes.Contains(head, []byte("\r\n\r\n")) {
		n, err := w.conn.Read(buffer)
		if err != nil {
			return nil, err
		}
		head = append(head, buffer[:n]...)
	}
	head, rest, _ := bytes.Cut(head, []byte("\r\n\r\n"))
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) || !bytes.Contains(bytes.ToLower(head), []byte("chunked")) {
		return nil, fmt.Errorf("no watch: %q", head)
	}
	w.framing = &chunked{}
	if err := w.framing.feed(rest, func(int) {}); err != nil {
		return nil, err
	}
	return w, w.socket.free()
}
