package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
)

func plainAnswer(body []byte) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"+
		"content-length: %d\r\n\r\n%s", len(body), body)
}

// plain serves HTTP/1.1 requests whose bodies have a content-length or are chunked.
func (s *server) plain(conn net.Conn, reader *bufio.Reader) {
	writer := bufio.NewWriterSize(conn, 64<<10)
	for {
		held, err := request(reader)
		if err != nil {
			return
		}
		if held {
			<-s.held.wait(s.hold)
		}
		if _, err := writer.Write(s.plain1); err != nil {
			return
		}
		if reader.Buffered() == 0 {
			if err := writer.Flush(); err != nil {
				return
			}
		}
	}
}

// request reads one request with its body; held says that its answer is.
func request(reader *bufio.Reader) (held bool, err error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	if _, target, found := bytes.Cut(line, []byte(" ")); found {
		held = bytes.HasPrefix(target, []byte("/hold"))
	}
	length, chunked := 0, false
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if name, value, found := bytes.Cut(line, []byte(":")); found {
			switch {
			case bytes.EqualFold(name, []byte("content-length")):
				if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
					return false, err
				}
			case bytes.EqualFold(name, []byte("transfer-encoding")):
				chunked = true
			}
		}
	}
	if chunked {
		return held, skipChunks(reader)
	}
	_, err = reader.Discard(length)
	return held, err
}

func skipChunks(reader *bufio.Reader) error {
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, reader, int64(size)+2); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}
