"""What an instructor trusts: references, mistakes, the gate, the build. Never installed on a learner's machine."""
