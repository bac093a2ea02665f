package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
)

// Frames of HTTP/2 (RFC 9113): as much as watches need.
const (
	data, headers, reset, settings, ping, goAway, windowUpdate = 0, 1, 3, 4, 6, 7, 8
	endStream, ack, endHeaders, padded                         = 1, 1, 4, 8
	window                                                     = 1 << 30
	streamsEach                                                = 100
)

// streams is a connection of HTTP/2 with watches.
type streams struct {
	conn   *tls.Conn
	rest   []byte
	opened int
}

func (s *streams) write(kind, flags byte, stream uint32, payload []byte) error {
	frame := make([]byte, 9, 9+len(payload))
	binary.BigEndian.PutUint32(frame, uint32(len(payload))<<8|uint32(kind))
	frame[4] = flags
	binary.BigEndian.PutUint32(frame[5:], stream)
	_, err := s.conn.Write(append(frame, payload...))
	return err
}

func (s *streams) feed(more []byte, lines func(int)) error {
	buffer := more
	if len(s.rest) > 0 {
		s.rest = append(s.rest, more...)
		buffer = s.rest
	}
	for len(buffer) >= 9 {
		size := int(binary.BigEndian.Uint32(buffer) >> 8)
		if len(buffer) < 9+size {
			break
		}
		if err := s.frame(buffer[3], buffer[4], buffer[9:9+size], lines); err != nil {
			return err
		}
		buffer = buffer[9+size:]
	}
	s.rest = append(s.rest[:0], buffer...)
	return nil
}

func (s *streams) frame(kind, flags byte, payload []byte, lines func(int)) error {
	switch kind {
	case data:
		if flags&padded != 0 {
			payload = payload[1 : len(payload)-int(payload[0])]
		}
		lines(bytes.Count(payload, []byte("\n")))
	case headers:
		// The first field is the status; 200 has a number of its own.
		for len(payload) > 0 && payload[0]>>5 == 1 { // a change of the table's size
			payload = payload[1:]
		}
		if len(payload) == 0 || payload[0] != 0x88 {
			return fmt.Errorf("no watch: %q", payload)
		}
		s.opened++
	case settings:
		if flags&ack == 0 {
			return s.write(settings, ack, 0, nil)
		}
	case ping:
		if flags&ack == 0 {
			return s.write(ping, ack, 0, payload)
		}
	case goAway, reset:
		return fmt.Errorf("the server ended it: frame %d %q", kind, payload)
	}
	if flags&endStream != 0 && (kind == data || kind == headers) {
		return io.EOF
	}
	return nil
}

// openFramed opens up to streamsEach watches over one connection of HTTP/2.
func openFramed(t *target, path string, count int) (*watcher, error) {
	w, err := dial(t, "h2")
	if err != nil {
		return nil, err
	}
	s := &streams{conn: w.conn}
	w.framing = s
	if _, err := io.WriteString(w.conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		return nil, err
	}
	// SETTINGS_INITIAL_WINDOW_SIZE, and the same for the connection.
	big := binary.BigEndian.AppendUint32([]byte{0, 4}, window)
	if err := s.write(settings, 0, 0, big); err != nil {
		return nil, err
	}
	if err := s.write(windowUpdate, 0, 0, big[2:]); err != nil {
		return nil, err
	}
	for number := range count {
		fields := []byte{0x82, 0x87} // :method GET, :scheme https
		for _, field := range [][2]string{
			{":path", path}, {":authority", t.host},
			{"accept", "application/json"}, {"user-agent", "load/1"},
		} {
			fields = append(fields, 0x10) // never indexed, with a name
			for _, text := range field {
				fields = append(fields, byte(len(text))) // shorter than 127
				fields = append(fields, text...)
			}
		}
		stream := uint32(2*number + 1)
		if err := s.write(headers, endStream|endHeaders, stream, fields); err != nil {
			return nil, err
		}
	}
	buffer := make([]byte, 16<<10)
	for s.opened < count {
		n, err := w.conn.Read(buffer)
		if err != nil {
			return nil, err
		}
		if err := s.feed(buffer[:n], func(int) {}); err != nil {
			return nil, err
		}
	}
	return w, w.socket.free()
}
