# What the plugins of these tests say they are.

plugin "unpack" {
  digest      = "sha256:0101010101010101010101010101010101010101010101010101010101010101"
  description = <<JSON
{
 "name": "unpack",
 "version": "1.0.0",
 "roles": [
  "ROLE_UNPACKER"
 ],
 "containers": [
  ".zip"
 ]
}
JSON
}

plugin "atse" {
  digest      = "sha256:0202020202020202020202020202020202020202020202020202020202020202"
  description = <<JSON
{
 "name": "atse",
 "version": "1.0.0",
 "roles": [
  "ROLE_SCANNER"
 ],
 "config": {
  "attributes": [
   {
    "name": "clamd",
    "type": "TYPE_ENDPOINT"
   },
   {
    "name": "signatures",
    "type": "TYPE_PATHS"
   },
   {
    "name": "heuristics",
    "type": "TYPE_BOOL",
    "defaultJson": "true"
   }
  ]
 }
}
JSON
}

plugin "snap" {
  digest      = "sha256:0303030303030303030303030303030303030303030303030303030303030303"
  description = <<JSON
{
 "name": "snap",
 "version": "1.0.0",
 "roles": [
  "ROLE_SCANNER"
 ]
}
JSON
}

plugin "filetype" {
  digest      = "sha256:0404040404040404040404040404040404040404040404040404040404040404"
  description = <<JSON
{
 "name": "filetype",
 "version": "1.0.0",
 "roles": [
  "ROLE_SCANNER"
 ],
 "scan": {
  "attributes": [
   {
    "name": "types",
    "type": "TYPE_STRINGS",
    "required": true,
    "oneOf": [
     "executable",
     "document",
     "image",
     "media",
     "compressed"
    ]
   }
  ]
 }
}
JSON
}

plugin "filename" {
  digest      = "sha256:0505050505050505050505050505050505050505050505050505050505050505"
  description = <<JSON
{
 "name": "filename",
 "version": "1.0.0",
 "roles": [
  "ROLE_SCANNER"
 ],
 "scan": {
  "attributes": [
   {
    "name": "names",
    "type": "TYPE_STRINGS",
    "required": true
   }
  ]
 }
}
JSON
}

plugin "actions" {
  digest      = "sha256:0606060606060606060606060606060606060606060606060606060606060606"
  description = <<JSON
{
 "name": "actions",
 "version": "1.0.0",
 "roles": [
  "ROLE_ACTION"
 ],
 "actions": [
  {
   "name": "delete_message",
   "effect": "EFFECT_DELETE",
   "label": "Message deleted",
   "config": {
    "attributes": []
   }
  },
  {
   "name": "quarantine",
   "effect": "EFFECT_QUARANTINE",
   "label": "Quarantined",
   "config": {
    "attributes": [
     {
      "name": "area",
      "type": "TYPE_STRING",
      "defaultJson": "\"default\""
     }
    ]
   }
  },
  {
   "name": "reject",
   "effect": "EFFECT_REJECT",
   "label": "Rejected",
   "config": {
    "attributes": [
     {
      "name": "text",
      "type": "TYPE_STRING",
      "required": true
     }
    ]
   }
  },
  {
   "name": "change_recipient",
   "effect": "EFFECT_CHANGE_RECIPIENT",
   "label": "Recipient changed",
   "config": {
    "attributes": [
     {
      "name": "to",
      "type": "TYPE_STRINGS",
      "required": true
     }
    ]
   }
  },
  {
   "name": "hand_off",
   "effect": "EFFECT_HAND_OFF",
   "label": "Handed off",
   "config": {
    "attributes": [
     {
      "name": "host",
      "type": "TYPE_STRING",
      "required": true
     },
     {
      "name": "port",
      "type": "TYPE_NUMBER",
      "defaultJson": "25",
      "min": 1,
      "max": 65535
     }
    ]
   }
  },
  {
   "name": "deliver_now",
   "effect": "EFFECT_DELIVER_NOW",
   "label": "Delivered",
   "config": {
    "attributes": []
   }
  },
  {
   "name": "postpone",
   "effect": "EFFECT_POSTPONE",
   "label": "Postponed",
   "config": {
    "attributes": [
     {
      "name": "at",
      "type": "TYPE_STRING",
      "required": true
     }
    ]
   }
  },
  {
   "name": "pass",
   "effect": "EFFECT_PASS",
   "label": "Passed",
   "config": {
    "attributes": []
   }
  },
  {
   "name": "tag_subject",
   "effect": "EFFECT_EDIT",
   "label": "Subject tagged",
   "config": {
    "attributes": [
     {
      "name": "text",
      "type": "TYPE_STRING",
      "required": true
     }
    ]
   }
  },
  {
   "name": "delete_attachments",
   "effect": "EFFECT_EDIT",
   "label": "Attachment deleted",
   "config": {
    "attributes": [
     {
      "name": "which",
      "type": "TYPE_STRING",
      "oneOf": [
       "matching",
       "all"
      ],
      "defaultJson": "\"matching\""
     }
    ]
   }
  },
  {
   "name": "x_header",
   "effect": "EFFECT_EDIT",
   "label": "Header inserted",
   "config": {
    "attributes": [
     {
      "name": "name",
      "type": "TYPE_STRING",
      "required": true
     },
     {
      "name": "value",
      "type": "TYPE_STRING",
      "required": true
     }
    ]
   }
  },
  {
   "name": "stamp",
   "effect": "EFFECT_EDIT",
   "label": "Stamp inserted",
   "config": {
    "attributes": [
     {
      "name": "text",
      "type": "TYPE_STRING",
      "required": true
     },
     {
      "name": "at",
      "type": "TYPE_STRING",
      "oneOf": [
       "beginning",
       "end"
      ],
      "defaultJson": "\"end\""
     }
    ]
   }
  },
  {
   "name": "bcc",
   "effect": "EFFECT_BCC",
   "label": "BCC sent",
   "config": {
    "attributes": [
     {
      "name": "to",
      "type": "TYPE_STRINGS",
      "required": true
     }
    ]
   }
  },
  {
   "name": "archive",
   "effect": "EFFECT_ARCHIVE",
   "label": "Archived",
   "config": {
    "attributes": [
     {
      "name": "area",
      "type": "TYPE_STRING",
      "defaultJson": "\"default\""
     }
    ]
   }
  },
  {
   "name": "notify",
   "effect": "EFFECT_NOTIFY",
   "label": "Notification sent",
   "config": {
    "attributes": [
     {
      "name": "notification",
      "type": "TYPE_STRING",
      "required": true
     }
    ]
   }
  },
  {
   "name": "defer",
   "effect": "EFFECT_DEFER",
   "label": "Deferred",
   "config": {
    "attributes": []
   }
  }
 ]
}
JSON
}

plugin "more_actions" {
  digest      = "sha256:0707070707070707070707070707070707070707070707070707070707070707"
  description = <<JSON
{
 "name": "more_actions",
 "version": "1.0.0",
 "roles": [
  "ROLE_ACTION"
 ],
 "actions": [
  {
   "name": "quarantine",
   "effect": "EFFECT_QUARANTINE",
   "label": "Quarantined too",
   "config": {
    "attributes": []
   }
  }
 ]
}
JSON
}

plugin "ddan" {
  digest      = "sha256:0808080808080808080808080808080808080808080808080808080808080808"
  description = <<JSON
{
 "name": "ddan",
 "version": "1.0.0",
 "roles": [
  "ROLE_ANALYZER"
 ],
 "config": {
  "blocks": [
   {
    "name": "server",
    "labels": [
     "host"
    ],
    "repeated": true,
    "required": true,
    "body": {
     "attributes": [
      {
       "name": "port",
       "type": "TYPE_NUMBER",
       "defaultJson": "443",
       "min": 1,
       "max": 65535
      },
      {
       "name": "api_key",
       "type": "TYPE_STRING",
       "required": true,
       "sensitive": true
      },
      {
       "name": "preference",
       "type": "TYPE_NUMBER",
       "defaultJson": "10",
       "min": 1,
       "max": 100
      },
      {
       "name": "enabled",
       "type": "TYPE_BOOL",
       "defaultJson": "true"
      },
      {
       "name": "timeout",
       "type": "TYPE_DURATION",
       "defaultJson": "\"20s\"",
       "min": 1,
       "max": 300
      }
     ]
    }
   }
  ]
 }
}
JSON
}

plugin "ctd" {
  digest      = "sha256:0909090909090909090909090909090909090909090909090909090909090909"
  description = <<JSON
{
 "name": "ctd",
 "version": "1.0.0",
 "roles": [
  "ROLE_OBJECTS"
 ],
 "config": {
  "blocks": [
   {
    "name": "control_manager",
    "labels": [
     "url"
    ],
    "repeated": true,
    "body": {
     "attributes": [
      {
       "name": "application_id",
       "type": "TYPE_STRING",
       "required": true
      },
      {
       "name": "api_key",
       "type": "TYPE_STRING",
       "required": true,
       "sensitive": true
      },
      {
       "name": "proxy",
       "type": "TYPE_ENDPOINT"
      }
     ]
    }
   }
  ]
 }
}
JSON
}

plugin "remote" {
  digest      = "sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
  description = <<JSON
{
 "name": "remote",
 "version": "1.0.0",
 "roles": [
  "ROLE_SCANNER",
  "ROLE_ACTION"
 ],
 "scan": {
  "attributes": [
   {
    "name": "token",
    "type": "TYPE_STRING",
    "sensitive": true
   }
  ]
 },
 "actions": [
  {
   "name": "publish",
   "effect": "EFFECT_PASS",
   "label": "Published",
   "config": {
    "attributes": [
     {
      "name": "token",
      "type": "TYPE_STRING",
      "sensitive": true
     }
    ]
   }
  }
 ]
}
JSON
}
