# Hidden rules, judged between the virus rules and all others where the policy has a block suspicious_objects. They are part of the
# program: no file of a policy can change or reorder them. `scan "suspicious_objects"` is the core's matcher, whatever plugin fetches
# the lists.

rule "TMCM_M_Suspicious file detection" {
  hidden = true
  scan "suspicious_objects" {
    objects = ["file"]
  }
  when {
    object_action = ["none", "log"]
    action "pass" {}
  }
  when {
    object_action = ["block", "quarantine"]
    action "quarantine" {}
  }
}

rule "TMCM_M_Suspicious URL detection" {
  hidden = true
  scan "suspicious_objects" {
    objects = ["url", "domain", "ip"]
  }
  when {
    object_action = ["none", "log"]
    action "pass" {}
  }
  when { # lists know block for URLs; a quarantine, if one says so, counts as block
    object_action = ["block", "quarantine"]
    action "quarantine" {}
  }
}
