#!/usr/bin/env -S node --preserve-symlinks-main
'use strict';

require('./postern.js').serve(require('./scanner.js'));
