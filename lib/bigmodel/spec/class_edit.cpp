// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/spec/class_edit.h"

#include <fmt/format.h>

#include <algorithm>

namespace bigmodel::spec {
namespace {

/// Replaces the member `name` by `with` (null removes it), also inside if and for; `hit` says whether it was there.
Body swapped(Arena& arena, const Body& body, std::string_view name, const Stmt* with, bool& hit) {
  Body out;
  out.reserve(body.size());
  for (const Stmt* stmt : body) {
    if (is_member(*stmt) && literal_name(*stmt) == name) {
      if (with != nullptr && !hit) out.push_back(with);
      hit = true;
    } else if (stmt->kind == StmtKind::branch || stmt->kind == StmtKind::loop) {
      bool inside = false;
      Stmt copy = *stmt;
      for (auto& [condition, arm] : copy.arms) {
        bool arm_hit = hit;
        arm = swapped(arena, arm, name, with, arm_hit);
        inside = inside || arm_hit != hit;
        hit = hit || arm_hit;
      }
      if (stmt->kind == StmtKind::loop) {
        bool loop_hit = false;
        copy.body = swapped(arena, copy.body, name, hit ? nullptr : with, loop_hit);
        inside = inside || loop_hit;
        hit = hit || loop_hit;
      }
      out.push_back(inside ? &arena.stmts.emplace_back(std::move(copy)) : stmt);
    } else {
      out.push_back(stmt);
    }
  }
  return out;
}

std::string renamed_path(const std::string& path, std::string_view from, std::string_view to) {
  if (path == from) return std::string(to);
  if (path.starts_with(std::string(from) + ".")) return std::string(to) + path.substr(from.size());
  return path;
}

/// A member under another name, at its place; ties, disk rules and block properties follow.
const Stmt* renamed(Arena& arena, const Stmt& stmt, std::string_view from, std::string_view to) {
  Stmt copy = stmt;
  switch (stmt.kind) {
    case StmtKind::param:
    case StmtKind::buffer:
    case StmtKind::child:
      if (literal_name(stmt) == from) {
        Expr& name = arena.exprs.emplace_back();
        name.place = stmt.name->place;
        name.value = std::string(to);
        copy.name = &name;
      }
      break;
    case StmtKind::tie:
      copy.path = renamed_path(stmt.path, from, to);
      copy.other = renamed_path(stmt.other, from, to);
      break;
    case StmtKind::disk: copy.path = renamed_path(stmt.path, from, to); break;
    case StmtKind::block:
      for (auto& [property, value] : copy.properties) {
        if (value->kind != ExprKind::literal || value->value.if_member() == nullptr) continue;
        Expr& moved = arena.exprs.emplace_back(*value);
        moved.value = MemberRef{renamed_path(value->value.if_member()->path, from, to)};
        value = &moved;
      }
      break;
    case StmtKind::branch:
      for (auto& [condition, arm] : copy.arms) {
        for (const Stmt*& inner : arm) inner = renamed(arena, *inner, from, to);
      }
      break;
    case StmtKind::loop:
      for (const Stmt*& inner : copy.body) inner = renamed(arena, *inner, from, to);
      break;
    default: break;
  }
  return &arena.stmts.emplace_back(std::move(copy));
}

const Stmt* merged_block(Arena& arena, const Body& body, const Stmt& change) {
  const auto old = std::ranges::find_if(body, [](const Stmt* s) { return s->kind == StmtKind::block; });
  if (old == body.end() || (*old)->word != change.word) return &change;
  Stmt copy = **old;
  copy.place = change.place;
  for (const auto& [name, value] : change.properties) {
    const auto same = std::ranges::find(copy.properties, name, &std::pair<std::string_view, const Expr*>::first);
    if (same != copy.properties.end()) {
      same->second = value;
    } else {
      copy.properties.emplace_back(name, value);
    }
  }
  return &arena.stmts.emplace_back(std::move(copy));
}

void put_member(Arena& arena, Body& body, const Stmt& stmt, std::string_view name) {
  bool hit = false;
  if (stmt.placement.kind == Placement::Kind::none) {
    body = swapped(arena, body, name, &stmt, hit);
    if (!hit) body.push_back(&stmt);
    return;
  }
  body = swapped(arena, body, name, nullptr, hit);
  if (stmt.placement.kind == Placement::Kind::first) {
    body.insert(body.begin(), &stmt);
    return;
  }
  const auto at = std::ranges::find_if(
      body, [&](const Stmt* s) { return is_member(*s) && literal_name(*s) == stmt.placement.member; });
  const bool after = stmt.placement.kind == Placement::Kind::after;
  if (at == body.end()) {
    throw SpecError(fmt::format("no member '{}' to place '{}' {}", stmt.placement.member, name, after ? "after" : "before"), stmt.place);
  }
  body.insert(after ? at + 1 : at, &stmt);
}

}  // namespace

Body edited(Arena& arena, Body body, const Body& changes) {
  const auto drop = [&body](const auto& matches) { std::erase_if(body, matches); };
  for (const Stmt* stmt : changes) {
    switch (stmt->kind) {
      case StmtKind::remove: {
        bool hit = false;
        body = swapped(arena, body, stmt->word, nullptr, hit);
        if (!hit) throw SpecError(fmt::format("nothing called '{}' to remove", stmt->word), stmt->place);
        break;
      }
      case StmtKind::rename: {
        bool hit = false;
        swapped(arena, body, stmt->other, nullptr, hit);
        if (!hit) throw SpecError(fmt::format("nothing called '{}' to rename", stmt->other), stmt->place);
        for (const Stmt*& s : body) s = renamed(arena, *s, stmt->other, stmt->word);
        break;
      }
      case StmtKind::let:
        drop([stmt](const Stmt* s) { return s->kind == StmtKind::let && s->word == stmt->word; });
        body.push_back(stmt);
        break;
      case StmtKind::disk:
        drop([stmt](const Stmt* s) { return s->kind == StmtKind::disk && s->path == stmt->path && s->legacy == stmt->legacy; });
        body.push_back(stmt);
        break;
      case StmtKind::nosplit:
        drop([](const Stmt* s) { return s->kind == StmtKind::nosplit; });
        body.push_back(stmt);
        break;
      case StmtKind::block: {
        const Stmt* merged = merged_block(arena, body, *stmt);
        drop([](const Stmt* s) { return s->kind == StmtKind::block; });
        body.push_back(merged);
        break;
      }
      case StmtKind::param:
      case StmtKind::buffer:
      case StmtKind::child:
        if (const auto name = literal_name(*stmt)) {
          put_member(arena, body, *stmt, *name);
        } else {
          body.push_back(stmt);
        }
        break;
      case StmtKind::branch:
      case StmtKind::loop:
      case StmtKind::tie: body.push_back(stmt); break;
    }
  }
  return body;
}

}  // namespace bigmodel::spec
