package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/host"
)

func newServe(a *app) *cobra.Command {
	var (
		drain time.Duration
		watch string
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Run the gateway until SIGTERM or SIGINT, which drain it. SIGHUP, like postern reload, reads the configuration
again: where something is wrong with it the old one goes on serving.`,
		Args: cobra.ExactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := a.logger()
			if err != nil {
				return err
			}
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			h, err := host.Start(cmd.Context(), host.Options{
				Folder: a.config, StateDir: a.stateDir, PluginDir: a.pluginDir, WatchDir: watch, Stage: stage,
				Drain: drain, Now: time.Now, Log: log, Version: version,
				Diagnosed: func(c *host.Configuration) {
					if err := c.Write(a.errOut, terminal(a.errOut)); err != nil {
						log.Error("printing diagnostics failed", "error", err)
					}
				},
			})
			if err != nil {
				return err
			}
			for name, address := range h.Addresses() {
				log.Info("listening", "listener", name, "address", address)
			}
			log.Info("postern is ready", "plugins", h.Status())
			notify(log, daemon.SdNotifyReady)
			for {
				select {
				case <-hangups:
					if _, err := h.Reload(cmd.Context()); err != nil {
						log.Error("the configuration was not changed", "error", err)
					}
				case <-cmd.Context().Done():
					notify(log, daemon.SdNotifyStopping)
					log.Info("stopping: messages under way are finished", "within", drain.String())
					err := h.Stop()
					log.Info("stopped")
					return errors.Join(err)
				}
			}
		},
	}
	cmd.Flags().StringVar(&watch, "watch", os.Getenv("POSTERN_WATCH"), "folder whose new files are swapped in as plugins (POSTERN_WATCH)")
	cmd.Flags().DurationVar(&drain, "drain", 30*time.Second, "how long sessions under way may take at the end")
	return cmd
}

// notify tells systemd, where it started this program, how it stands (sd_notify(3)).
func notify(log hclog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("telling systemd failed", "state", state, "error", err)
	}
}
