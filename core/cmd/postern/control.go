package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/host"
)

// ask has the running gateway do something and prints what became of it.
func (a *app) ask(ctx context.Context, method, path string, form url.Values) (*host.Answer, error) {
	dir := a.stateDir
	if dir == "" {
		c, err := host.ReadConfiguration(a.config)
		if err != nil {
			return nil, err
		}
		if c.Policy == nil {
			return nil, errors.Join(fmt.Errorf("the policy does not tell the state folder (--state does): %w", host.ErrPolicy), c.Write(a.errOut, terminal(a.errOut)))
		}
		dir = host.StateDir("", c.Policy)
	}
	answer, err := host.Command(ctx, dir, method, path, form.Encode())
	if answer != nil {
		out := a.out
		if err != nil {
			out = a.errOut
		}
		fmt.Fprint(out, answer.Text)
	}
	return answer, err
}

func newReload(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the running gateway read its configuration again; where anything is wrong the old one serves on",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.ask(cmd.Context(), http.MethodPost, "/reload", nil)
			return err
		},
	}
}

func newRollback(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "Have the running gateway serve the policy and plugins again that it served before",
		Long: `Have the running gateway serve the policy and plugins again that it served before the last change. The files in the
configuration folder stay as they are, and the next reload or start reads them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.ask(cmd.Context(), http.MethodPost, "/rollback", nil)
			return err
		},
	}
}

func newPluginSwap(a *app) *cobra.Command {
	var digest string
	cmd := &cobra.Command{
		Use:   "swap NAME FILE",
		Short: "Put another version of a plugin in its place while mail flows, and pin it",
		Long: `Put another version of a plugin in its place while mail flows. It is started beside the old one, has to describe itself alike
but for its version, take its configuration and pass its self-check; then new messages go to it, and the old one ends when the
messages that it has begun with are done. The gateway keeps a copy of FILE and pins it. Where anything is wrong the old one serves on.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := filepath.Abs(args[1])
			if err != nil {
				return err
			}
			_, err = a.ask(cmd.Context(), http.MethodPost, "/plugins/"+url.PathEscape(args[0])+"/swap", url.Values{"file": {file}, "digest": {digest}})
			return err
		},
	}
	cmd.Flags().StringVar(&digest, "digest", "", "refuse FILE where this is not its digest (sha256:...)")
	return cmd
}

// newPluginDo is a command about one plugin of the running gateway.
func newPluginDo(a *app, verb, short string) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := a.ask(cmd.Context(), http.MethodPost, "/plugins/"+url.PathEscape(args[0])+"/"+verb, nil)
			return err
		},
	}
}

func newPluginShadow(a *app) *cobra.Command {
	messages := 100
	cmd := &cobra.Command{
		Use:   "shadow NAME FILE",
		Short: "Give another version of a scanner copies of the next messages and show in what its findings differ; nothing acts on them",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := filepath.Abs(args[1])
			if err != nil {
				return err
			}
			_, err = a.ask(cmd.Context(), http.MethodPost, "/plugins/"+url.PathEscape(args[0])+"/shadow",
				url.Values{"file": {file}, "messages": {strconv.Itoa(messages)}})
			return err
		},
	}
	cmd.Flags().IntVar(&messages, "messages", messages, "how many messages are compared")
	return cmd
}
