package main

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	manyStreams = 20000
	window      = 16 << 20
)

// streams serves one HTTP/2 connection. Header blocks of answers use the static table only, so one
// encoding serves every connection.
type streams struct {
	server  *server
	framer  *http2.Framer
	decoder *hpack.Decoder
	reader  *bufio.Reader

	mutex  sync.Mutex // writer and credit, when held answers come from elsewhere
	writer *bufio.Writer
	credit int // what the peer's connection window lets us send
	queue  []answer

	open     map[uint32]*incoming
	path     string
	isGRPC   bool
	received uint32
}

type incoming struct{ grpc, held bool }

type answer struct {
	id   uint32
	grpc bool
}

var (
	headOfGRPC    = encoded(":status", "200", "content-type", "application/grpc")
	trailerOfGRPC = encoded("grpc-status", "0", "grpc-message", "")
)

func encoded(pairs ...string) []byte {
	var out bytes.Buffer
	encoder := hpack.NewEncoder(&out)
	encoder.SetMaxDynamicTableSizeLimit(0)
	encoder.SetMaxDynamicTableSize(0)
	for i := 0; i < len(pairs); i += 2 {
		encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	// Without the table-size update that stands in front: it belongs to an encoder's connection.
	text := out.Bytes()
	for len(text) > 0 && text[0]&0xe0 == 0x20 {
		text = text[1:]
	}
	return text
}

func newStreams(s *server, conn net.Conn, reader *bufio.Reader) *streams {
	c := &streams{server: s, reader: reader, credit: 65535, open: map[uint32]*incoming{}}
	c.writer = bufio.NewWriterSize(conn, 64<<10)
	c.framer = http2.NewFramer(c.writer, reader)
	c.framer.SetReuseFrames()
	c.framer.AllowIllegalWrites = true
	c.decoder = hpack.NewDecoder(4096, c.field)
	return c
}

func (c *streams) field(field hpack.HeaderField) {
	switch field.Name {
	case ":path":
		c.path = field.Value
	case "content-type":
		c.isGRPC = strings.HasPrefix(field.Value, "application/grpc")
	}
}

func (c *streams) serve() {
	c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: manyStreams},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20},
	)
	c.framer.WriteWindowUpdate(0, window)
	for {
		if c.reader.Buffered() == 0 {
			c.mutex.Lock()
			err := c.writer.Flush()
			c.mutex.Unlock()
			if err != nil {
				return
			}
		}
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		c.mutex.Lock()
		err = c.handle(frame)
		c.mutex.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *streams) handle(frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			return c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			return c.framer.WritePing(true, frame.Data)
		}
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			c.credit += int(frame.Increment)
			return c.drain()
		}
	case *http2.HeadersFrame:
		return c.headers(frame)
	case *http2.DataFrame:
		return c.data(frame)
	case *http2.RSTStreamFrame:
		delete(c.open, frame.StreamID)
	}
	return nil
}

func (c *streams) headers(frame *http2.HeadersFrame) error {
	before := c.open[frame.StreamID]
	c.path, c.isGRPC = "", false
	if _, err := c.decoder.Write(frame.HeaderBlockFragment()); err != nil {
		return err
	}
	if !frame.HeadersEnded() {
		return http2.ConnectionError(http2.ErrCodeInternal) // no proxy here sends so long heads
	}
	if before == nil {
		before = &incoming{grpc: c.isGRPC, held: strings.HasPrefix(c.path, "/hold")}
		c.open[frame.StreamID] = before
	}
	if frame.StreamEnded() {
		return c.ended(frame.StreamID, before)
	}
	return nil
}

func (c *streams) data(frame *http2.DataFrame) error {
	if c.received += frame.Length; c.received > window/2 {
		if err := c.framer.WriteWindowUpdate(0, c.received); err != nil {
			return err
		}
		c.received = 0
	}
	stream := c.open[frame.StreamID]
	if stream == nil {
		return nil
	}
	if frame.StreamEnded() {
		return c.ended(frame.StreamID, stream)
	}
	if frame.Length > 0 {
		return c.framer.WriteWindowUpdate(frame.StreamID, frame.Length)
	}
	return nil
}

func (c *streams) ended(id uint32, stream *incoming) error {
	delete(c.open, id)
	if !stream.held {
		c.queue = append(c.queue, answer{id, stream.grpc})
		return c.drain()
	}
	open := c.server.held.wait(c.server.hold)
	go func() {
		<-open
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.queue = append(c.queue, answer{id, stream.grpc})
		if c.drain() == nil {
			c.writer.Flush()
		}
	}()
	return nil
}

// drain sends whole answers as far as the peer's window goes; a stream's own window is always
// larger than an answer.
func (c *streams) drain() error {
	sent := 0
	for _, next := range c.queue {
		body := c.server.body
		if next.grpc {
			body = c.server.grpc
		}
		if len(body) > c.credit {
			break
		}
		c.credit -= len(body)
		if err := c.send(next, body); err != nil {
			return err
		}
		sent++
	}
	c.queue = append(c.queue[:0], c.queue[sent:]...)
	return nil
}

func (c *streams) send(next answer, body []byte) error {
	head := c.server.plain2
	if next.grpc {
		head = headOfGRPC
	}
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: next.id, BlockFragment: head, EndHeaders: true,
	})
	if err != nil {
		return err
	}
	if err := c.framer.WriteData(next.id, !next.grpc, body); err != nil || !next.grpc {
		return err
	}
	return c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: next.id, BlockFragment: trailerOfGRPC, EndHeaders: true, EndStream: true,
	})
}
