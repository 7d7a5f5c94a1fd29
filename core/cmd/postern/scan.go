package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/host"
	"github.com/postern-mail/postern/core/message"
)

func newScan(a *app) *cobra.Command {
	var (
		from, client string
		to           []string
		asJSON       bool
	)
	cmd := &cobra.Command{
		Use:   "scan FILE...",
		Short: "Judge mail files without sending or keeping anything",
		Long: `Judge mail files as they would be judged on arrival, and print what would become of them and why. No verdict of the
sandbox is known here: what would be held is shown as waiting. With --json one object per file is printed, each on a line.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) (err error) {
			session := message.Session{Helo: "localhost", Listen: "scan"}
			if client != "" {
				address, err := netip.ParseAddr(client)
				if err != nil {
					return usageError{fmt.Errorf("--client: %w", err)}
				}
				session.Client = netip.AddrPortFrom(address, 25)
			}
			c, err := a.configuration()
			if err != nil {
				return err
			}
			log, err := a.logger()
			if err != nil {
				return err
			}
			warned := len(c.Diags)
			previewer, err := host.NewPreviewer(cmd.Context(), c, a.pluginDir, stage, time.Now, log)
			c.Diags = c.Diags[warned:]
			if err := errors.Join(err, c.Write(a.errOut, terminal(a.errOut))); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, previewer.Close()) }()
			bar := a.progress(len(files), terminal(a.out) && !asJSON)
			for _, name := range files {
				judged, err := scanFile(cmd, previewer, name, session, message.Envelope{From: from, To: to})
				if err != nil {
					return err
				}
				_ = bar.Add(1)
				if err := a.printJudged(judged, asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "envelope sender; by default the author of the header")
	flags.StringSliceVar(&to, "to", nil, "envelope recipients; by default those of the header")
	flags.StringVar(&client, "client", "", "address of the client that would send it")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func scanFile(cmd *cobra.Command, p *host.Previewer, name string, session message.Session, envelope message.Envelope) (*host.Judged, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	judged, err := p.Judge(cmd.Context(), name, f, session, envelope)
	return judged, errors.Join(err, f.Close())
}

// progress is a bar where standard error is a terminal and there is more than a little to do.
func (a *app) progress(steps int, outputIsTerminal bool) *progressbar.ProgressBar {
	if steps < 10 || !terminal(a.errOut) || outputIsTerminal {
		return progressbar.DefaultSilent(int64(steps))
	}
	return progressbar.Default(int64(steps))
}

func (a *app) printJudged(j *host.Judged, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(a.out).Encode(j)
	}
	fmt.Fprintf(a.out, "%s\n  from <%s>, subject %q, %d parts\n", j.File, printable(j.Message.Envelope.From), printable(j.Message.Subject),
		len(j.Facts.Tree.Parts))
	for i := range j.Facts.Tree.Troubles {
		t := &j.Facts.Tree.Troubles[i]
		fmt.Fprintf(a.out, "  %s: %s %s\n", t.Exception, t.Reason, printable(t.Detail))
	}
	return a.printDecision(j.Decision, &j.Facts.Tree)
}
