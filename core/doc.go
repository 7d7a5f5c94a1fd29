// Package core holds nothing itself: its packages are the gateway, and its tests hold what is promised of them all.
package core
