// Command train computes the weights of plugin snap anew: folders of mail and the built gateway go in, data/weights.tsv and the table of what is
// caught at which threshold come out. It fits the weights on the half of the mails whose names have an even hash and prints both halves;
// only the other half says what the weights are worth. The same mails give the same weights.
//
//	make build && go run ./plugins/snap/train -corpora FOLDER
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	var (
		corpora = flag.String("corpora", "", "folder with the folders ham and phishing, and spam to report on")
		bin     = flag.String("bin", "bin", "folder of the built programs")
		file    = flag.String("weights", "plugins/snap/data/weights.tsv", "the file of weights: priors and bounds are read from it, weights written")
		dry     = flag.Bool("n", false, "write nothing")
		dump    = flag.String("dump", "", "write what was seen of each mail to this file")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *corpora, *bin, *file, *dump, *dry, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "train: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, corpora, bin, file, dump string, dry bool, out io.Writer) error {
	w, err := readWeights(file)
	if err != nil {
		return err
	}
	set := map[string][]mail{}
	for _, kind := range []string{"ham", "phishing", "spam"} {
		paths, err := filepath.Glob(filepath.Join(corpora, kind, "*"))
		if err != nil {
			return err
		}
		if len(paths) == 0 {
			return fmt.Errorf("no mail in %s", filepath.Join(corpora, kind))
		}
		if set[kind], err = look(ctx, bin, paths); err != nil {
			return err
		}
	}
	if dump != "" {
		if err := writeSeen(dump, set); err != nil {
			return err
		}
	}
	fit(w, half(set["ham"], true), half(set["phishing"], true))
	setThresholds(w, half(set["ham"], true))
	printReasons(out, w, set)
	printTable(out, w, set)
	if dry {
		return nil
	}
	return w.write(file)
}
