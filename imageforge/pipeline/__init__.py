"""From a source to a running release: plan (pure), then lint, build, squash, push, rollout, each a stage."""
