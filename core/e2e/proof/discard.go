package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// discard is a next hop that takes everything as fast as it comes, by DATA or BDAT, and keeps nothing.
type discard struct {
	listener net.Listener
	sessions sync.WaitGroup
	taken    atomic.Int64
}

func newDiscard() (*discard, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &discard{listener: listener}
	d.sessions.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			d.sessions.Go(func() {
				defer conn.Close()
				d.serve(conn)
			})
		}
	})
	return d, nil
}

func (d *discard) addr() string { return d.listener.Addr().String() }

// close is called when those who send have gone.
func (d *discard) close() error {
	err := d.listener.Close()
	d.sessions.Wait()
	return err
}

// serve ends with the connection.
func (d *discard) serve(conn net.Conn) {
	r := bufio.NewReaderSize(conn, 64<<10)
	say := func(text string) bool {
		_, err := io.WriteString(conn, text+"\r\n")
		return err == nil
	}
	if !say("220 discard.example ESMTP") {
		return
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			words = []string{""}
		}
		answer := "250 2.0.0 OK"
		switch strings.ToUpper(words[0]) {
		case "EHLO":
			answer = "250-discard.example\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 CHUNKING"
		case "DATA":
			if !say("354 go on") || readData(r) != nil {
				return
			}
			d.taken.Add(1)
		case "BDAT":
			if readChunk(r, words) != nil {
				return
			}
			if strings.EqualFold(words[len(words)-1], "LAST") {
				d.taken.Add(1)
			}
		case "QUIT":
			say("221 2.0.0 bye")
			return
		}
		if !say(answer) {
			return
		}
	}
}

func readData(r *bufio.Reader) error {
	begins := true // of a line
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if begins && bytes.Equal(line, []byte(".\r\n")) {
			return nil
		}
		begins = err == nil
	}
}

func readChunk(r *bufio.Reader, words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("BDAT without a size")
	}
	size, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, r, size)
	return err
}
