package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/postern-mail/postern/sdk/scanner"
)

// clamd asks a ClamAV daemon, each content by a connection of its own (clamd(8), INSTREAM).
type clamd struct{ network, address string }

// errTooLarge says that clamd did not take all of the content.
var errTooLarge = errors.New("larger than clamd's StreamMaxLength")

func newClamd(endpoint string) (*clamd, error) {
	network, address, ok := strings.Cut(endpoint, ":")
	if !ok || network != "unix" && network != "tcp" || address == "" {
		return nil, fmt.Errorf("%q is neither unix:/path nor tcp:host:port", endpoint)
	}
	return &clamd{network: network, address: strings.TrimPrefix(address, "//")}, nil
}

// clamdPatience bounds a whole exchange where the call itself has no earlier end.
const clamdPatience = 60 * time.Second

func (c *clamd) dial(ctx context.Context) (net.Conn, func(), error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, c.network, c.address)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to clamd: %w", err)
	}
	end := time.Now().Add(clamdPatience)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		end = deadline
	}
	if err := conn.SetDeadline(end); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("connect to clamd: %w", err), conn.Close())
	}
	// A call that is cancelled must not wait for clamd.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return conn, func() { stop(); _ = conn.Close() }, nil
}

// version is clamd's own word for itself and its signatures.
func (c *clamd) version(ctx context.Context) (string, error) {
	conn, done, err := c.dial(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	if _, err := io.WriteString(conn, "zVERSION\x00"); err != nil {
		return "", fmt.Errorf("ask clamd: %w", err)
	}
	answer, err := readAnswer(conn)
	if err != nil {
		return "", err
	}
	return answer, nil
}

// scan returns the malware's name, or "" where clamd knows none.
func (c *clamd) scan(ctx context.Context, body scanner.Body) (string, error) {
	content, err := body.Open()
	if err != nil {
		return "", err
	}
	defer content.Close()
	conn, done, err := c.dial(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	sendErr := stream(conn, content)
	// clamd answers and closes when it has had enough, which ends the sending with an error: its answer is what counts.
	answer, err := readAnswer(conn)
	if err != nil {
		return "", errors.Join(sendErr, err)
	}
	return parseAnswer(answer)
}

func stream(conn io.Writer, content io.Reader) error {
	if _, err := io.WriteString(conn, "zINSTREAM\x00"); err != nil {
		return fmt.Errorf("send to clamd: %w", err)
	}
	buffer := make([]byte, 4+64<<10)
	for {
		n, err := io.ReadFull(content, buffer[4:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read content: %w", err)
		}
		if n == 0 {
			_, err := conn.Write([]byte{0, 0, 0, 0})
			return err
		}
		binary.BigEndian.PutUint32(buffer, uint32(n))
		if _, err := conn.Write(buffer[:4+n]); err != nil {
			return fmt.Errorf("send to clamd: %w", err)
		}
	}
}

// longestAnswer bounds what is read of clamd's reply.
const longestAnswer = 4 << 10

func readAnswer(conn io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(conn, longestAnswer))
	answer, _, complete := strings.Cut(string(raw), "\x00")
	if !complete {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return "", fmt.Errorf("read clamd's answer: %w", err)
	}
	return answer, nil
}

func parseAnswer(answer string) (string, error) {
	text := strings.TrimPrefix(answer, "stream: ")
	if text == "OK" {
		return "", nil
	}
	if name, found := strings.CutSuffix(text, " FOUND"); found && name != "" {
		return name, nil
	}
	if strings.Contains(text, "size limit exceeded") {
		return "", errTooLarge
	}
	return "", fmt.Errorf("clamd answered %q", answer)
}

// troubleOf is what keeps clamd from looking at a part; never a clean bill.
func troubleOf(part *scanner.Part, err error) scanner.Trouble {
	if errors.Is(err, errTooLarge) {
		return scanner.Trouble{Kind: scanner.TroubleLimit, Reason: "clamd_size", Detail: err.Error(), Part: part.ID}
	}
	return scanner.Trouble{Kind: scanner.TroubleDownstream, Reason: "clamd", Detail: "clamd did not judge the part", Part: part.ID}
}
