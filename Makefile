# The few commands that a person types. What each does is in the script of the same name in .ci/.
.DEFAULT_GOAL := help
.PHONY: help demo image test soak check lint bench docs clean

help:   ## what can be typed here
	@sed -n 's/^\([a-z]*\): *## /  make \1\t/p' Makefile | expand -t 16

demo:   ## build both rooms' images, boot them on this computer, show their status screens
	@.ci/demo

image:  ## build the demo site's images for both rooms into build/demo
	@.ci/image

test:   ## every test: units, the build compared twice, the boot
	@.ci/test

soak:   ## the tests that find more the longer they run: seeds, requests, fuzzing; takes hours
	@.ci/soak

check:  ## the quick ones, before each commit: format, lints, units, tidy
	@.ci/check

lint:   ## format and lints only
	@.ci/lint

bench:  ## measure builds, boots and the store; writes the tables in docs/bench*.md
	@.ci/bench

docs:   ## the guides' generated parts, and the reference of the crates
	@.ci/docs

clean:  ## remove what was built here; downloaded packages stay in the cache
	@rm -rf target build
