// SPDX-License-Identifier: MIT
'use strict';
// Writes db.json for json-server: the same users, posts and comments at every run.
// Usage: node make-data.js [FILE] [USERS] [POSTS] [COMMENTS]

const fs = require('fs');

// A 32-bit linear congruential generator: the data must not differ between runs or versions of node.
function generator(seed) {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * bound);
  };
}

const FIRST = ['Ada', 'Béla', 'Chloé', 'Dmitri', 'Esra', 'Fionn', 'Grace', 'Håkon', 'Ines', 'Jürgen'];
const LAST = ['Abel', 'Bergström', 'Costa', 'Dvořák', 'Evans', 'Fischer', 'Gødel', 'Hopper', 'Ito', 'Jensen'];
const WORDS = ('cache key fresh stale purge route origin field value range body chunk token query header reply '
  + 'proxy worker flight leader waiter segment index record journal').split(' ');

function sentence(next, words) {
  const out = [];
  for (let i = 0; i < words; i++) out.push(WORDS[next(WORDS.length)]);
  return out.join(' ');
}

function makeData(users, posts, comments) {
  const next = generator(20240501);
  const db = { users: [], posts: [], comments: [] };
  for (let id = 1; id <= users; id++) {
    const name = `${FIRST[next(FIRST.length)]} ${LAST[next(LAST.length)]}`;
    db.users.push({ id, name, email: `user${id}@example.com`, age: 18 + next(60), active: next(2) === 1 });
  }
  for (let id = 1; id <= posts; id++) {
    db.posts.push({ id, userId: 1 + next(users), title: sentence(next, 4), body: sentence(next, 20 + next(60)), views: next(10000) });
  }
  for (let id = 1; id <= comments; id++) {
    db.comments.push({ id, postId: 1 + next(posts), userId: 1 + next(users), body: sentence(next, 5 + next(25)) });
  }
  return db;
}

const [file = 'db.json', users = '50', posts = '200', comments = '1000'] = process.argv.slice(2);
const data = makeData(Number(users), Number(posts), Number(comments));
fs.writeFileSync(file, `${JSON.stringify(data, null, 1)}\n`);
