package main

import (
	"errors"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// newEtcdCommand makes an etcd of one member that never syncs: a control plane that dies is made anew, not recovered.
func newEtcdCommand() *cobra.Command {
	var directory, client, peer string
	command := &cobra.Command{
		Use:          "etcd",
		Short:        "Run an etcd of one member",
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			return runEtcd(directory, client, peer)
		},
	}
	command.Flags().StringVar(&directory, "data-dir", "", "Where its files are kept")
	command.Flags().StringVar(&client, "listen-client-url", "http://127.0.0.1:2379", "Where clients connect")
	command.Flags().StringVar(&peer, "listen-peer-url", "http://127.0.0.1:0", "Where other members would connect")
	return command
}

func runEtcd(directory, client, peer string) error {
	if directory == "" {
		return errors.New("--data-dir is required")
	}
	clientURL, err := url.Parse(client)
	if err != nil {
		return err
	}
	peerURL, err := url.Parse(peer)
	if err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Dir = directory
	config.UnsafeNoFsync = true
	config.LogLevel = "warn"
	config.ListenClientUrls = []url.URL{*clientURL}
	config.AdvertiseClientUrls = []url.URL{*clientURL}
	config.ListenPeerUrls = []url.URL{*peerURL}
	config.AdvertisePeerUrls = []url.URL{*peerURL}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer etcd.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	select {
	case err := <-etcd.Err():
		return err
	case <-stop:
		return nil
	}
}
